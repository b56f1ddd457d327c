/**
 * What the requests about ACLs have in common.
 */

/** The number of a resource type, pattern type, operation or permission that stands for one nobody knows. */
export const UNKNOWN_ACL_KIND = 0;
