// Whether anything is done at all, and the switch for it.

import type { Learnt } from './api';
import { Answer, useWish } from './wish';
import { clock } from './words';

export function Freeze({ learnt, onChange }: { learnt: Learnt | null; onChange: () => void }) {
  const { wish, said, waiting } = useWish(onChange);
  if (!learnt) return null;
  const freeze = () => confirm('Stop all actions, on all components, until somebody lets them go on?') && wish('freeze');
  const thaw = () => confirm('Let actions go on, as the policies allow?') && wish('thaw');
  return (
    <div class={learnt.frozen_by ? 'freeze frozen' : 'freeze'}>
      {learnt.frozen_by && (
        <b>
          All actions are frozen, by {learnt.frozen_by}
          {learnt.frozen_at && ` since ${clock(learnt.frozen_at)}`}
        </b>
      )}
      {learnt.frozen_by ? (
        <button onClick={thaw} disabled={waiting}>
          Go on
        </button>
      ) : (
        <button onClick={freeze} disabled={waiting} title="Stop all actions, on all components">
          Freeze actions
        </button>
      )}
      {said && !said.good && <Answer said={said} />}
    </div>
  );
}
