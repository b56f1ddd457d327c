/** A Worker that appends to the partition whose handle it is told and waits for its own wakes. */
import { append as nativeAppend, drainWakes, openWaker, watch } from "../../../native/binding.js";
import { batchOf } from "./store.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent): void => {
  const { handle, count } = event.data as { handle: number; count: number };
  const handles = new Float64Array(8);
  let wakes = 0;
  const workerId = openWaker(() => {
    wakes += drainWakes(workerId, handles);
    watch(handle, workerId);
  });
  watch(handle, workerId);
  let appended = 0;
  const out = new Float64Array(7);
  const step = (): void => {
    if (
      appended < count &&
      nativeAppend(handle, batchOf(`value ${appended}`), -1, 1, 0, Date.now(), out) === 0
    )
      appended++;
    if (appended < count || wakes === 0) setTimeout(step, 0);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a Worker has no origin.
    else self.postMessage({ appended, wakes });
  };
  step();
};
