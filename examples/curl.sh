#!/usr/bin/env bash
# Streams a chat completion: SLUICE_URL and SLUICE_API_KEY say where and by which key, the argument which model.
set -euo pipefail

curl --no-buffer --silent --show-error --fail-with-body "$SLUICE_URL/v1/chat/completions" \
  --header "Authorization: Bearer $SLUICE_API_KEY" \
  --header "Content-Type: application/json" \
  --data @- <<EOF
{
  "model": "${1:-smollm2-135m-instruct}",
  "messages": [{"role": "user", "content": "What is the capital of France?"}],
  "temperature": 0,
  "stream": true,
  "stream_options": {"include_usage": true}
}
EOF
