/** What may be done with a group. */

/** READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS as bits: all there is to do with a group, when nothing is forbidden. */
export const ALL_GROUP_OPERATIONS: number = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11);
