// Callers who each wait for their outcome before they call again.

const US_PER_MS = 1_000;

/** Has so many callers pay until the time is over or everything is paid; how many were, and how long each took. */
export async function call({ pay, jobs, callers, timeMs }) {
  const latencies = [];
  let next = 0;
  const begin = performance.now();
  const caller = async () => {
    while (performance.now() - begin < timeMs && next < jobs.length) {
      const [invoice, user] = jobs[next++];
      const sent = performance.now();
      await pay({ invoice, user });
      latencies.push(microseconds(performance.now() - sent));
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return {
    paid: latencies.length,
    elapsed_us: microseconds(performance.now() - begin),
    latencies_us: latencies,
  };
}

function microseconds(ms) {
  return Math.round(ms * US_PER_MS);
}
