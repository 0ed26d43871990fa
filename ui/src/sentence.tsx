/** A sentence of the API: what stands between backticks is code. */
export function Sentence({ text }: { text: string }) {
  return <>{text.split('`').map((part, at) => (at % 2 ? <code key={at}>{part}</code> : part))}</>;
}
