// The string formats of JSON Schema that generation can be held to; each a part of what its RFC allows, never more.

const hour = "(?:[01][0-9]|2[0-3])";
const time = `${hour}:[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-]${hour}:[0-5][0-9])`;
const monthDay =
  "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))";
const leapYear = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)";
const date = `(?:[0-9]{4}-${monthDay}|${leapYear}-02-29)`;
const octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const group = "[0-9A-Fa-f]{1,4}";
const label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?";
const hostname = `${label}(?:\\.${label}){0,3}`;
const domain = `(?:${label}\\.){1,3}[A-Za-z]{2,12}`;
const segment = "[A-Za-z0-9._~-]*";

/** RFC 3339 (dates, ISO 8601 durations), 4122, 5321, 1123, 791, 4291, 3986. `ipv6` is written without its `::`, `uri` is http. */
const formats: Readonly<Record<string, string>> = {
  date,
  time,
  "date-time": `${date}T${time}`,
  duration: "P(?:[0-9]{1,4}W|[0-9]{1,4}D(?:T[0-9]{1,2}H)?|T[0-9]{1,4}(?:H(?:[0-9]{1,2}M)?|M(?:[0-9]{1,2}S)?|S))",
  uuid: "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
  email: `[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,16}){0,1}@${domain}`,
  hostname,
  ipv4: `${octet}(?:\\.${octet}){3}`,
  ipv6: `${group}(?::${group}){7}`,
  uri: `https?://${domain}(?:/${segment})*(?:\\?[A-Za-z0-9._~=&-]*)?`,
};

/** Formats that say how a value is kept or shown, not how it is written. */
const annotations: ReadonlySet<string> = new Set(["password", "int64", "float", "double", "decimal"]);

/** The format as a regular expression; "annotation" for one that holds nothing; undefined for one that is not known. */
export function formatPattern(name: string): string | undefined {
  if (annotations.has(name)) return "annotation";
  return Object.hasOwn(formats, name) ? formats[name] : undefined;
}

export const formatNames: readonly string[] = Object.keys(formats);
