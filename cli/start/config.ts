// The one place where `npm start` reads the environment.

/** What the environment says to `npm start`. */
export interface StartEnvironment {
  port: string | undefined;
  runtime: string | undefined;
  model: string | undefined;
  /** The folder where the command was typed; npm itself runs in the checkout. */
  typedIn?: string | undefined;
  /** Options that npm took for its own because the `--` was forgotten, such as `npm start --port 1`. */
  swallowed: string[];
  /** Whether npm runs this process, so that its death must end it. */
  underNpm: boolean;
  /** The environment that children inherit. */
  inherited: Record<string, string | undefined>;
}

const OPTIONS = ["port", "runtime", "model", "state", "verbose"];
/** A stray production setting or cloud account of the user's must not change what the local edge is. */
const NOT_INHERITED = ["CLOUDFLARE_ENV", "CLOUDFLARE_INCLUDE_PROCESS_ENV", "NODE_CHANNEL_FD"];

/** Reads the environment; an empty variable counts as absent. */
export function readEnvironment(env: Record<string, string | undefined> = process.env): StartEnvironment {
  const inherited = { ...env };
  for (const name of NOT_INHERITED) delete inherited[name];
  const underNpm = Boolean(env.npm_lifecycle_event);
  return {
    port: env.PORT || undefined,
    runtime: env.SLUICE_RUNTIME || undefined,
    model: env.SLUICE_MODEL || undefined,
    typedIn: env.INIT_CWD || undefined,
    swallowed: underNpm ? OPTIONS.filter((name) => env[`npm_config_${name}`] !== undefined) : [],
    underNpm,
    inherited,
  };
}
