/**
 * Changes of configurations on a broker of a cluster: levels of loggers are this process's own business; values of a broker must be this one's
 * (a client sends them to the broker they are for) and are checked here, beside the configuration it runs with, before the active controller
 * stores them; the rest is the controller's.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { ResourceChange } from "#controller/config-values.ts";
import { refuseConfigChanges, type ResourceOutcome } from "#controller/configs.ts";
import { ResourceType } from "#metadata/cluster-image.ts";
import {
  AlterConfigsApi,
  makeAlterConfigsRequest,
  makeAlterConfigsResource,
} from "#protocol/generated/alter-configs.ts";
import {
  IncrementalAlterConfigsApi,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import { type ControllerChannel, ControllerUnavailableError } from "#cluster/controller-channel.ts";

/** Serves changes of configurations: the controller's method of this name. */
export interface ConfigChanger {
  changeConfigs(
    resources: readonly ResourceChange[],
    validateOnly: boolean,
  ): Promise<readonly ResourceOutcome[]>;
}

/** What the router works with. */
export interface ConfigRouterOptions {
  readonly nodeId: number;
  readonly channel: Pick<ControllerChannel, "send">;
  /** Changes what is this process's own, loggers, and knows which values it could not work with. */
  readonly own: ConfigChanger;
}

const ALTER_CONFIGS_VERSION = 2;
const INCREMENTAL_ALTER_CONFIGS_VERSION = 1;
const TIMEOUT_MS = 30_000;

/** See the head of the file. */
export class ConfigRouter implements ConfigChanger {
  readonly #options: ConfigRouterOptions;

  constructor(options: ConfigRouterOptions) {
    this.#options = options;
  }

  async changeConfigs(
    resources: readonly ResourceChange[],
    validateOnly: boolean,
  ): Promise<readonly ResourceOutcome[]> {
    const outcomes = new Map<ResourceChange, ResourceOutcome>();
    const own: ResourceChange[] = [];
    const remote: ResourceChange[] = [];
    for (const resource of resources) {
      const refusal = this.#check(resource) ?? (await this.#checkValues(resource));
      if (refusal !== null) outcomes.set(resource, refusal);
      else if (resource.resourceType === ResourceType.BROKER_LOGGER) own.push(resource);
      else remote.push(resource);
    }
    if (own.length > 0) {
      const answered = await this.#options.own.changeConfigs(own, validateOnly);
      for (const [index, outcome] of answered.entries()) setAt(outcomes, own, index, outcome);
    }
    if (remote.length > 0) {
      const answered = await this.#ask(remote, validateOnly);
      for (const [index, outcome] of answered.entries()) setAt(outcomes, remote, index, outcome);
    }
    return resources.flatMap((resource) => outcomes.get(resource) ?? []);
  }

  /** Refuses values of another broker. */
  #check(resource: ResourceChange): ResourceOutcome | null {
    const { resourceType, resourceName } = resource;
    if (resourceType !== ResourceType.BROKER || resourceName === "") return null;
    const { nodeId } = this.#options;
    if (!/^[+-]?\d{1,10}$/.test(resourceName) || Number(resourceName) === nodeId) return null;
    const errorMessage = `Unexpected broker id, expected ${nodeId}, but received ${resourceName}`;
    return { resourceType, resourceName, errorCode: ErrorCode.INVALID_REQUEST, errorMessage };
  }

  /** Refuses what this broker could not work with. */
  async #checkValues(resource: ResourceChange): Promise<ResourceOutcome | null> {
    if (resource.resourceType !== ResourceType.BROKER) return null;
    const [outcome] = await this.#options.own.changeConfigs([resource], true);
    return outcome === undefined || outcome.errorCode === ErrorCode.NONE ? null : outcome;
  }

  async #ask(
    resources: readonly ResourceChange[],
    validateOnly: boolean,
  ): Promise<readonly ResourceOutcome[]> {
    const { channel } = this.#options;
    const timeout = { timeoutMs: TIMEOUT_MS };
    try {
      if (resources.every(({ replacesAll }) => replacesAll)) {
        const request = makeAlterConfigsRequest({
          resources: resources.map(({ resourceType, resourceName, changes }) =>
            makeAlterConfigsResource({
              resourceType,
              resourceName,
              configs: changes.map(({ name, value }) => ({ name, value })),
            }),
          ),
          validateOnly,
        });
        return (await channel.send(AlterConfigsApi, ALTER_CONFIGS_VERSION, request, timeout))
          .responses;
      }
      const request = makeIncrementalAlterConfigsRequest({
        resources: resources.map(({ resourceType, resourceName, changes }) => ({
          resourceType,
          resourceName,
          configs: changes.map(({ name, operation, value }) => ({
            name,
            configOperation: operation,
            value,
          })),
        })),
        validateOnly,
      });
      const version = INCREMENTAL_ALTER_CONFIGS_VERSION;
      return (await channel.send(IncrementalAlterConfigsApi, version, request, timeout)).responses;
    } catch (error) {
      if (!(error instanceof ControllerUnavailableError)) throw error;
      return refuseConfigChanges(resources, {
        errorCode: ErrorCode.REQUEST_TIMED_OUT,
        errorMessage: error.message,
      });
    }
  }
}

function setAt(
  outcomes: Map<ResourceChange, ResourceOutcome>,
  resources: readonly ResourceChange[],
  index: number,
  outcome: ResourceOutcome,
): void {
  const resource = resources[index];
  if (resource !== undefined) outcomes.set(resource, outcome);
}
