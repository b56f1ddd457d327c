/**
 * The handlers a broker has, by API key. What ApiVersions advertises is read from here and from nowhere else.
 */
import { assert } from "#common/assert.ts";
import type { AnyApiHandler } from "./handler.ts";

/** One advertised API. */
export interface AdvertisedApi {
  readonly apiKey: number;
  readonly minVersion: number;
  readonly maxVersion: number;
}

/** Handlers by key. Filled once, before the first connection. */
export class HandlerTable {
  readonly #byKey: (AnyApiHandler | undefined)[] = [];
  #advertised: readonly AdvertisedApi[] = [];

  /** Adds handlers; each key and version range must be served by one of them only and lie within its codecs'. */
  add(...handlers: readonly AnyApiHandler[]): void {
    for (const handler of handlers) {
      const { key, name, minVersion, maxVersion } = handler.api;
      assert(this.#byKey[key] === undefined, `two handlers for ${name}`);
      assert(
        handler.minVersion >= minVersion &&
          handler.maxVersion <= maxVersion &&
          handler.minVersion <= handler.maxVersion,
        `${name} ${handler.minVersion}-${handler.maxVersion} is outside its codecs' ${minVersion}-${maxVersion}`,
      );
      this.#byKey[key] = handler;
    }
    this.#advertised = this.#byKey
      .filter((handler) => handler !== undefined)
      .map((handler) => ({
        apiKey: handler.api.key,
        minVersion: handler.advertisedMinVersion ?? handler.minVersion,
        maxVersion: handler.maxVersion,
      }));
  }

  /** The handler of an API, or undefined when this broker does not serve it. */
  get(apiKey: number): AnyApiHandler | undefined {
    return apiKey >= 0 ? this.#byKey[apiKey] : undefined;
  }

  /** Every served API, ascending by key. */
  get advertised(): readonly AdvertisedApi[] {
    return this.#advertised;
  }
}
