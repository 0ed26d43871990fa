// What somebody wants of the hub, and what it answers.

import { useEffect, useState } from 'preact/hooks';
import * as api from './api';
import * as person from './person';
import { Sentence } from './sentence';

/** A good answer is soon no news: what it says is seen. In milliseconds. */
const READ = 6000;

export interface Said {
  good: boolean;
  text: string;
}

/** `wish` asks the hub; `said` is its latest answer, as it was said; `waiting` until there is one. */
export function useWish(onChange: () => void) {
  const [said, setSaid] = useState<Said | null>(null);
  const [waiting, setWaiting] = useState(false);
  useEffect(() => {
    if (!said?.good) return;
    const timer = setTimeout(() => setSaid(null), READ);
    return () => clearTimeout(timer);
  }, [said]);
  const wish = async (path: string, what: { action?: string; sequence?: number; name?: string } = {}): Promise<boolean> => {
    const by = person.known();
    if (!by || waiting) return false;
    setWaiting(true);
    setSaid(null);
    try {
      setSaid({ good: true, text: await api.want(path, { by, ...what }) });
      return true;
    } catch (reason) {
      setSaid({ good: false, text: reason instanceof Error ? reason.message : String(reason) });
      return false;
    } finally {
      setWaiting(false);
      onChange();
    }
  };
  return { wish, said, waiting };
}

export function Answer({ said }: { said: Said | null }) {
  return (
    <p class={`answer ${said?.good ? 'good' : 'bad'}`} role="status" aria-live="polite">
      {said && <Sentence text={said.text} />}
    </p>
  );
}
