/** The systems that we can start ourselves, by the name that `--target` takes. */
import { kafka } from "./kafka.ts";
import { limit } from "./limit.ts";
import { self } from "./self.ts";
import type { System } from "./system.ts";

/** All adapters. `self` is what our own was called before; commands and records of then still name it so. */
export const systems: Readonly<Record<string, System>> = { sluice: self, kafka, limit, self };
