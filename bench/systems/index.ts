/** The brokers that can be measured, by the name that `--systems` takes. */
import { kafka } from "./kafka.ts";
import { self } from "./self.ts";
import type { System } from "./system.ts";

/** All adapters; the first is the one the ratios are about, the second its rival. */
export const systems: Readonly<Record<string, System>> = { self, kafka };
