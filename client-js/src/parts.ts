/**
 * What a bundle has beside the core. The build of `throughline/core` puts `false` in the place of this
 * constant, and drops what depends on it: one source, and not a byte of it for the other.
 */

/** Whether there are streams, feeds, and what only a page with all of it needs. */
export const MORE: boolean = true;

/** In the place of what only a bundle with {@link MORE} has. */
export const NONE: never = undefined as never;
