// Refuses unauthenticated calls on the native door, whatever service they are for; health checks are open.
import { type Metadata, ServerInterceptingCall, type ServerInterceptor, ServerListenerBuilder } from "@grpc/grpc-js";
import { NodeError } from "../node-error.ts";
import { grpcError } from "./grpc-errors.ts";
import type { Authenticate } from "./secret.ts";

const openPrefix = "/grpc.health.v1.Health/";

/** An interceptor, so that it covers every service that is ever added, reflection too. */
export function authInterceptor(authenticate: Authenticate): ServerInterceptor {
  return function refuseStrangers(method, call) {
    if (method.path.startsWith(openPrefix)) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start: (next) => {
        const listener = new ServerListenerBuilder()
          .withOnReceiveMetadata((metadata: Metadata, pass) => {
            try {
              const [authorization] = metadata.get("authorization");
              authenticate(authorization?.toString());
            } catch (thrown) {
              const { code, details, metadata: trailers } = grpcError(NodeError.from(thrown));
              call.sendStatus({ code, details, metadata: trailers });
              return;
            }
            metadata.remove("authorization"); // Nothing behind the door needs the secret.
            pass(metadata);
          })
          .build();
        next(listener);
      },
    });
  };
}
