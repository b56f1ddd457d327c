/**
 * The APIs by key. The table is light: no codec is loaded by importing this file, so that a process pays only for the
 * APIs it serves. Handlers import their own API's generated file; this is for whoever holds only a key.
 */
export { API_VERSIONS, apiByKey, type ApiVersionInfo } from "./generated/api-table.ts";
