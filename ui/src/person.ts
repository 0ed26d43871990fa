// Who sits here: for the audit, asked once.

const KEY = 'larnax-by';
/** As long as the hub takes. */
const MAX = 100;

export const person = () => localStorage.getItem(KEY);

/** Asks for a name; none where none is given. */
export function ask(): string | null {
  const name = prompt('Your name, for the record of who did what:', person() ?? '')?.trim().slice(0, MAX);
  if (!name) return null;
  localStorage.setItem(KEY, name);
  return name;
}

/** Asks only if it isn't known. */
export const known = () => person() ?? ask();
