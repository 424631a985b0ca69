// JSON log lines on the worker's console, which is the only log sink that workerd has.

export type LogLevel = "info" | "warn" | "error";

/** Writes one line. Fields that are undefined are left out. Never give it prompt text or secrets. */
export function log(level: LogLevel, time: number, event: string, fields: Record<string, unknown>): void {
  console.log(JSON.stringify({ time: new Date(time).toISOString(), level, event, ...fields }));
}
