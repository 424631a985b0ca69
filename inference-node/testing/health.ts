// Asks a node's native door for its health.
import { Client, credentials } from "@grpc/grpc-js";
import { service } from "grpc-health-check";

/** What grpc.health.v1 says of a service; "" is the whole node. */
export async function healthOf(address: string, name = ""): Promise<string> {
  const check = service.Check;
  if (check === undefined) throw new Error("no Check");
  const client = new Client(address, credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest<object, { status: string }>(
        check.path,
        check.requestSerialize,
        check.responseDeserialize as (bytes: Buffer) => { status: string },
        { service: name },
        (error, answer) => (error ? reject(error) : resolve(answer?.status ?? "")),
      );
    });
  } finally {
    client.close();
  }
}
