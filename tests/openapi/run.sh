#!/bin/sh
# Schemathesis against a service that runs: URL, TOKEN, APP and SPACE as `standalone` prints them.
# The kind of refusal that can be checked is the one with a body; README.md says which checks are left out and why.
set -eu
cd "$(dirname "$0")"
export SCHEMATHESIS_HOOKS=hooks
PYTHONPATH=. exec "${SCHEMATHESIS:-schemathesis}" run "$URL/openapi.json" \
  --header "Authorization: Bearer $TOKEN" --header "Accept: ${ACCEPT:-application/json, application/problem+json}" \
  --checks all --generation-deterministic "$@"
