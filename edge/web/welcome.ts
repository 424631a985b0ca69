// The page that a browser finds at the root: what runs here and the one command to try.

/** The page. The address goes into text only after escaping. */
export function welcomePage(origin: string): string {
  const url = escaped(origin);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sluice</title>
<style>
  :root { color-scheme: light dark; --ink: #1b1f24; --paper: #fbfbf9; --soft: #5c6670; --line: #d9dcd6; --code: #f0f1ed; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6e8e4; --paper: #14171a; --soft: #98a1a9; --line: #2c3237; --code: #1d2226; }
  }
  body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
  main { max-width: 42rem; margin: 0 auto; padding: 12vh 1.25rem 4rem; }
  h1 { margin: 0; font-size: 1.75rem; letter-spacing: -0.01em; }
  p { margin: 0.75rem 0; }
  .soft { color: var(--soft); }
  pre { padding: 1rem; overflow-x: auto; background: var(--code); border: 1px solid var(--line); border-radius: 6px;
    font: 0.875rem/1.6 ui-monospace, monospace; }
  code { font-family: ui-monospace, monospace; font-size: 0.925em; }
  a { color: inherit; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.35rem 1.25rem; margin: 2rem 0 0; }
  dt { font-family: ui-monospace, monospace; font-size: 0.9rem; }
  dd { margin: 0; color: var(--soft); }
</style>
</head>
<body>
<main>
<h1>Sluice is running</h1>
<p>An LLM API that speaks OpenAI's language. Point any OpenAI client at <code>${url}/v1</code>, or try it here:</p>
<pre><code>curl ${url}/v1/chat/completions \\
  -H "Authorization: Bearer $SLUICE_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "MODEL", "stream": true,
      "messages": [{"role":"user","content":"What is the capital of France?"}]}'</code></pre>
<p class="soft">The key was printed when the service was started. <code>GET /v1/models</code> lists the models.</p>
<dl>
<dt>POST /v1/chat/completions</dt><dd>chat, streamed or whole</dd>
<dt>GET /v1/models</dt><dd>what is served</dd>
<dt><a href="/healthz">GET /healthz</a></dt><dd>the edge lives</dd>
<dt><a href="/readyz">GET /readyz</a></dt><dd>a model is ready</dd>
</dl>
</main>
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
