// What model sources take from the environment.
import { homedir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { modelSourceConfig } from "./config.ts";

test("the cache is the XDG one, and a relative XDG_CACHE_HOME is ignored", () => {
  expect(modelSourceConfig({ XDG_CACHE_HOME: "/c", HOME: "/h" }).cacheDir).toBe("/c/sluice/models");
  expect(modelSourceConfig({ XDG_CACHE_HOME: "c", HOME: "/h" }).cacheDir).toBe("/h/.cache/sluice/models");
  expect(modelSourceConfig({}).cacheDir).toBe(join(homedir(), ".cache/sluice/models"));
});

test("the hub is the public one unless HF_ENDPOINT names a mirror", () => {
  expect(modelSourceConfig({}).hubEndpoint).toBe("https://huggingface.co");
  expect(modelSourceConfig({ HF_ENDPOINT: "https://mirror.example/hf/" }).hubEndpoint).toBe(
    "https://mirror.example/hf",
  );
  expect(modelSourceConfig({ HF_TOKEN: "" }).hubToken).toBeUndefined();
  expect(modelSourceConfig({ HF_TOKEN: "t" }).hubToken).toBe("t");
});

test("SLUICE_OFFLINE is a switch", () => {
  expect(modelSourceConfig({}).offline).toBe(false);
  expect(modelSourceConfig({ SLUICE_OFFLINE: "0" }).offline).toBe(false);
  expect(modelSourceConfig({ SLUICE_OFFLINE: "1" }).offline).toBe(true);
  expect(modelSourceConfig({ SLUICE_OFFLINE: "true" }).offline).toBe(true);
});
