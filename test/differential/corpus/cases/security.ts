/** ACLs, delegation tokens and SCRAM credentials, asked of a broker without an authorizer and without SASL. */
import {
  CreateAclsApi,
  makeCreateAclsRequest,
  makeAclCreation,
} from "#protocol/generated/create-acls.ts";
import {
  CreateDelegationTokenApi,
  makeCreateDelegationTokenRequest,
} from "#protocol/generated/create-delegation-token.ts";
import {
  DeleteAclsApi,
  makeDeleteAclsFilter,
  makeDeleteAclsRequest,
} from "#protocol/generated/delete-acls.ts";
import {
  DescribeAclsApi,
  type DescribeAclsRequest,
  makeDescribeAclsRequest,
} from "#protocol/generated/describe-acls.ts";
import {
  DescribeDelegationTokenApi,
  makeDescribeDelegationTokenRequest,
} from "#protocol/generated/describe-delegation-token.ts";
import {
  ExpireDelegationTokenApi,
  makeExpireDelegationTokenRequest,
} from "#protocol/generated/expire-delegation-token.ts";
import {
  makeRenewDelegationTokenRequest,
  RenewDelegationTokenApi,
} from "#protocol/generated/renew-delegation-token.ts";
import { ask, utf8 } from "../bytes.ts";
import { type Case, one } from "../case.ts";

const TOPIC = 2;
const LITERAL = 3;
const PREFIXED = 4;
const READ = 3;
const ALLOW = 3;

const describeAcls = (label: string, init: Partial<DescribeAclsRequest>): Case[] =>
  [1, 2, 3].map((version) =>
    one(
      `security/acls ${label} v${version}`,
      ask(
        DescribeAclsApi,
        version,
        makeDescribeAclsRequest({
          resourceTypeFilter: 1,
          patternTypeFilter: 1,
          operation: 1,
          permissionType: 1,
          ...init,
        }),
      ),
    ),
  );

const CREATION = {
  resourceType: TOPIC,
  resourceName: "a",
  resourcePatternType: LITERAL,
  principal: "User:a",
  host: "*",
  operation: READ,
  permissionType: ALLOW,
};

const createAcls = (label: string, rows: readonly Partial<typeof CREATION>[]): Case[] =>
  [1, 2, 3].map((version) =>
    one(
      `security/create acls ${label} v${version}`,
      ask(
        CreateAclsApi,
        version,
        makeCreateAclsRequest({
          creations: rows.map((row) => makeAclCreation({ ...CREATION, ...row })),
        }),
      ),
    ),
  );

const FILTER = {
  resourceTypeFilter: TOPIC,
  resourceNameFilter: "a",
  patternTypeFilter: LITERAL,
  principalFilter: null,
  hostFilter: null,
  operation: READ,
  permissionType: ALLOW,
};

const deleteAcls = (label: string, rows: readonly Partial<typeof FILTER>[]): Case[] =>
  [1, 2, 3].map((version) =>
    one(
      `security/delete acls ${label} v${version}`,
      ask(
        DeleteAclsApi,
        version,
        makeDeleteAclsRequest({
          filters: rows.map((row) => makeDeleteAclsFilter({ ...FILTER, ...row })),
        }),
      ),
    ),
  );

/** All of them. */
export const SECURITY_CASES: readonly Case[] = [
  ...describeAcls("of everything", {}),
  ...describeAcls("of a topic", { resourceTypeFilter: TOPIC, resourceNameFilter: "a" }),
  ...describeAcls("of resource type 0", { resourceTypeFilter: 0 }),
  ...describeAcls("of resource type 99", { resourceTypeFilter: 99 }),
  ...describeAcls("of operation 0", { operation: 0 }),
  ...describeAcls("of operation 99", { operation: 99 }),
  ...describeAcls("of permission 0", { permissionType: 0 }),
  ...describeAcls("of pattern 0", { patternTypeFilter: 0 }),
  ...describeAcls("of pattern 99", { patternTypeFilter: 99 }),
  ...createAcls("of none", []),
  ...createAcls("of one", [{}]),
  ...createAcls("of two", [{}, { resourcePatternType: PREFIXED }]),
  ...createAcls("of pattern 99", [{ resourcePatternType: 99 }]),
  ...createAcls("of pattern 0", [{ resourcePatternType: 0 }]),
  ...createAcls("of resource type 0", [{ resourceType: 0 }]),
  ...createAcls("of operation 0", [{ operation: 0 }]),
  ...createAcls("of permission 0", [{ permissionType: 0 }]),
  ...createAcls("of any resource", [{ resourceType: 1 }]),
  ...createAcls("of an empty principal", [{ principal: "" }]),
  ...createAcls("of a principal without a type", [{ principal: "a" }]),
  ...createAcls("of an empty resource", [{ resourceName: "" }]),
  ...deleteAcls("of none", []),
  ...deleteAcls("of one", [{}]),
  ...deleteAcls("of two", [{}, { resourceNameFilter: "b" }]),
  ...deleteAcls("of pattern 0", [{ patternTypeFilter: 0 }]),
  ...deleteAcls("of resource type 0", [{ resourceTypeFilter: 0 }]),
  ...deleteAcls("of operation 99", [{ operation: 99 }]),
  ...deleteAcls("of permission 0", [{ permissionType: 0 }]),
  ...[1, 2, 3].flatMap((version) => [
    one(
      `security/create token v${version}`,
      ask(
        CreateDelegationTokenApi,
        version,
        makeCreateDelegationTokenRequest({
          maxLifetimeMs: 1000,
          renewers: [{ principalType: "User", principalName: "a" }],
        }),
      ),
    ),
    one(
      `security/create token of another type v${version}`,
      ask(
        CreateDelegationTokenApi,
        version,
        makeCreateDelegationTokenRequest({
          maxLifetimeMs: -1,
          renewers: [{ principalType: "Group", principalName: "" }],
          ...(version >= 3 && { ownerPrincipalType: "User", ownerPrincipalName: "b" }),
        }),
      ),
    ),
    one(
      `security/describe tokens v${version}`,
      ask(
        DescribeDelegationTokenApi,
        version,
        makeDescribeDelegationTokenRequest({ owners: null }),
      ),
    ),
    one(
      `security/describe tokens of nobody v${version}`,
      ask(DescribeDelegationTokenApi, version, makeDescribeDelegationTokenRequest({ owners: [] })),
    ),
    one(
      `security/describe tokens of one v${version}`,
      ask(
        DescribeDelegationTokenApi,
        version,
        makeDescribeDelegationTokenRequest({
          owners: [{ principalType: "User", principalName: "a" }],
        }),
      ),
    ),
  ]),
  ...[1, 2].flatMap((version) => [
    one(
      `security/renew token v${version}`,
      ask(
        RenewDelegationTokenApi,
        version,
        makeRenewDelegationTokenRequest({ hmac: utf8("hmac"), renewPeriodMs: 1000 }),
      ),
    ),
    one(
      `security/expire token v${version}`,
      ask(
        ExpireDelegationTokenApi,
        version,
        makeExpireDelegationTokenRequest({ hmac: new Uint8Array(0), expiryTimePeriodMs: -1 }),
      ),
    ),
  ]),
];
