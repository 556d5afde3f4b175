// What a wallet does not do for its owner, and why not.

export class Refusal extends Error {
  name = "Refusal";
}

/** Refuses unless the condition holds. */
export function demand(condition, message) {
  if (!condition) throw new Refusal(message);
}

/** Refuses unless both are the same; objects and big integers are compared by what they hold. */
export function demandSame(found, wanted, what) {
  const [is, should] = [written(found), written(wanted)];
  demand(is === should, `${what} is ${is}, not ${should}`);
}

function written(value) {
  return JSON.stringify(value, plain) ?? "undefined";
}

/** Big integers as text, and fields in the order of their names. */
function plain(_, value) {
  if (typeof value === "bigint") return `${value}`;
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}
