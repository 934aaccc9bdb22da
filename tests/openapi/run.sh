#!/bin/sh
# Schemathesis against a service that runs: URL, TOKEN, APP and SPACE as `standalone` prints them. CONTRIBUTING.md says more.
set -eu
PYTHONPATH="$(dirname "$0")" PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=hooks \
  exec "${SCHEMATHESIS:-schemathesis}" run "$URL/openapi.json" --checks all --mode all \
  --header "Authorization: Bearer $TOKEN" --header "Accept: ${ACCEPT:-application/json, application/problem+json}" "$@"
