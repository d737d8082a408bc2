#!/usr/bin/env bash
# The script of action.yml: verifies $BUNDLE, writes outputs and summary, ends as verify does.
set -uo pipefail
read -r -a more <<<"${ARGUMENTS:-}"
arguments=("$BUNDLE" --commitment "$COMMITMENT" --json)
[ -n "${IMAGE:-}" ] && arguments+=(--image "$IMAGE")
report=$(huref-zk verify "${arguments[@]}" ${more[@]+"${more[@]}"})
status=$?
echo "$report"
echo "report=$report" >>"${GITHUB_OUTPUT:-/dev/null}"
REPORT=$report python3 - "$status" >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}" <<'PYTHON'
import html, json, os, sys

told, status = json.loads(os.environ["REPORT"] or "{}"), int(sys.argv[1])
words = {0: "holds", 1: "is REFUSED", 2: "could not be judged: bad input", 3: "could not be judged here"}
print(f"### The proof {words.get(status, 'could not be judged')}\n")
if "error" in told:
    print(html.escape(told["error"]))
for step in told.get("steps", ()):
    print(f"{step['step']}. {step['name']}: {html.escape(step['detail'])}")
if told.get("test_setup"):
    print("\n**Made under the test setup: anybody could have made it.**")
PYTHON
exit "$status"
