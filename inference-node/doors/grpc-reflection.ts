// Loads the contract's source, which server reflection shows to tools such as grpcurl.
import { fileURLToPath } from "node:url";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";

const protoRoot = fileURLToPath(new URL("../../proto", import.meta.url));

/** The contract as proto-loader reads it from proto/. */
export function loadContract(): PackageDefinition {
  return loadSync("sluice/inference/v1/service.proto", { includeDirs: [protoRoot] });
}
