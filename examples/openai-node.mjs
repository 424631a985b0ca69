// The official Node SDK (npm install openai): lists the models, streams an answer, and catches a typed error.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.SLUICE_URL}/v1`, apiKey: process.env.SLUICE_API_KEY });

const { data: models } = await client.models.list();
for (const { id, created } of models) console.log(`${id}, served since ${new Date(created * 1000).toISOString()}`);

const stream = await client.chat.completions.create({
  model: models[0].id,
  messages: [{ role: "user", content: "What is the capital of France?" }],
  temperature: 0,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const { choices, usage } of stream) {
  process.stdout.write(choices[0]?.delta.content ?? "");
  if (usage) console.log(`\n${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out`);
}

try {
  await client.chat.completions.create({ model: "no-such-model", messages: [{ role: "user", content: "Hello" }] });
} catch (error) {
  if (!(error instanceof OpenAI.NotFoundError)) throw error;
  console.log(`${error.status} ${error.code}, request ${error.requestID}`);
}
