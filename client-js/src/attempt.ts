/** Does what others may make impossible: a page's rules, somebody else's text. Nothing where it throws. */
export function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}
