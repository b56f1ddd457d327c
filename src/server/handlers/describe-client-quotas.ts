/**
 * DescribeClientQuotas (key 48): quotas whose entities match a filter (KIP-546).
 *
 * - v0. v1: flexible.
 */
import { ErrorCode } from "#common/error-code.ts";
import { type QuotaMatch, QuotaEntityType, matchingQuotas } from "#metadata/client-quotas.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import {
  DescribeClientQuotasApi,
  makeDescribeClientQuotasResponse,
} from "#protocol/generated/describe-client-quotas.ts";
import type {
  ComponentData,
  DescribeClientQuotasRequest,
  DescribeClientQuotasResponse,
} from "#protocol/generated/describe-client-quotas.ts";
import type { ApiHandler } from "../handler.ts";

/** How a component of the filter matches. */
const MATCH_EXACT = 0;
const MATCH_DEFAULT = 1;
const MATCH_SPECIFIED = 2;

const TYPES: readonly string[] = Object.values(QuotaEntityType);

/** What the handler works with. */
export interface DescribeClientQuotasDependencies {
  readonly image: () => ClusterImage;
}

/** Serves DescribeClientQuotas. */
export function createDescribeClientQuotasHandler({
  image,
}: DescribeClientQuotasDependencies): ApiHandler<
  DescribeClientQuotasRequest,
  DescribeClientQuotasResponse
> {
  return {
    api: DescribeClientQuotasApi,
    minVersion: 0,
    maxVersion: 1,
    handle: ({ components, strict }) => {
      const filter = readFilter(components);
      if ("errorCode" in filter) {
        return makeDescribeClientQuotasResponse({ ...filter, entries: null });
      }
      const matching = [...matchingQuotas(image().clientQuotas, filter, strict)];
      return makeDescribeClientQuotasResponse({
        // What Kafka says where nothing is wrong.
        errorMessage: "",
        entries: matching.map(({ entity, values }) => ({
          entity: [...entity].map(([entityType, entityName]) => ({ entityType, entityName })),
          values: [...values].map(([key, value]) => ({ key, value })),
        })),
      });
    },
  };
}

interface FilterError {
  readonly errorCode: number;
  readonly errorMessage: string;
}

function readFilter(
  components: readonly ComponentData[],
): ReadonlyMap<string, QuotaMatch> | FilterError {
  const filter = new Map<string, QuotaMatch>();
  for (const { entityType, matchType, match } of components) {
    if (entityType === "") return invalid("Invalid empty entity type.");
    if (filter.has(entityType)) {
      return invalid(`Entity type ${entityType} cannot appear more than once in the filter.`);
    }
    if (!TYPES.includes(entityType)) {
      const errorMessage = `Unsupported entity type ${entityType}`;
      return { errorCode: ErrorCode.UNSUPPORTED_VERSION, errorMessage };
    }
    const wanted = readMatch(matchType, match);
    if (typeof wanted === "object" && "errorCode" in wanted) return wanted;
    filter.set(entityType, wanted);
  }
  if (filter.has(QuotaEntityType.IP) && filter.size > 1) {
    return invalid(
      "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.",
    );
  }
  return filter;
}

function readMatch(matchType: number, match: string | null): QuotaMatch | FilterError {
  switch (matchType) {
    case MATCH_EXACT:
      return match === null
        ? invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.")
        : { name: match };
    case MATCH_DEFAULT:
      return match === null
        ? { name: null }
        : invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.");
    case MATCH_SPECIFIED:
      return match === null
        ? "any"
        : invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.");
    default:
      return invalid(`Unknown match type ${matchType}`);
  }
}

function invalid(errorMessage: string): FilterError {
  return { errorCode: ErrorCode.INVALID_REQUEST, errorMessage };
}
