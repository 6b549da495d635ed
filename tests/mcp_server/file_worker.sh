# A worker that speaks by files alone: runs the <run> blocks of its plan, and asks by checkpoint.json where a task is a
# checkpoint. Credentials never come by file: harness-nb worker exec has them.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run=

# Each step of the plan as a file of its own, in the plan's order: what to ask, or what to run.
awk -v out="$work" '
  /^<task type="checkpoint:/ { split($0, quoted, "\""); print quoted[2] > sprintf("%s/%02d.ask", out, ++step) }
  /^ *<run lang="/ { split($0, quoted, "\""); file = sprintf("%s/%02d.%s", out, ++step, quoted[2]); next }
  /^ *<\/run>/ { file = "" }
  file { print > file }
' "$HARNESS_PLAN_PATH"

put() {  # name, text: a file in the session's folder, whole from its first moment
  printf '%s\n' "$2" > "$HARNESS_SESSION_DIR/$1.tmp"
  mv "$HARNESS_SESSION_DIR/$1.tmp" "$HARNESS_SESSION_DIR/$1"
}

ask() {  # type, fields: puts the question there and waits until its answer is
  put checkpoint.json "{\"id\": \"$1\", \"type\": \"$1\", \"phase\": \"${HARNESS_PLAN%-*}\", \"plan\": \"$HARNESS_PLAN\", $2}"
  answer=$HARNESS_SESSION_DIR/answered/$1.json
  until mv "$HARNESS_SESSION_DIR/checkpoint_response.json" "$answer" 2> /dev/null; do sleep 0.02; done
}

said() {  # whether the answer holds a field with this value
  grep -q "\"$1\": *$2" "$answer"
}

checkpoint() {
  case $1 in
    checkpoint:decision)
      ask decision '"decision": "Which units?", "options": [{"id": "metric", "name": "Metric"}, {"id": "imperial", "name": "Imperial"}]'
      for unit in metric imperial; do
        if said selectedOptionId "\"$unit\""; then export HARNESS_DECISION=$unit; fi
      done ;;
    checkpoint:credentials)
      ask credentials '"service": "weather", "envVars": ["API_TOKEN"], "context": "demo", "reason": "the tests need it"'
      said found true
      run="harness-nb worker exec --" ;;
    checkpoint:human-verify)
      ask verification '"whatBuilt": "The page", "howToVerify": ["Look at it"], "artifacts": ["site/index.html"]'
      said verified true ;;
    checkpoint:human-action)
      ask action '"action": "Tell them", "instructions": "Say that it ends.", "reason": "They may use it."'
      said actionCompleted true ;;
  esac
}

for step in "$work"/*; do
  echo "── ${step##*/}"
  case $step in
    *.ask) checkpoint "$(cat "$step")" ;;
    *.sh) $run sh -eu "$step" ;;
    *.python) $run python "$step" ;;
  esac
done
put result.json "{\"success\": true, \"phase\": \"${HARNESS_PLAN%-*}\", \"plan\": \"$HARNESS_PLAN\", \"summary\": \"done by files alone\"}"
