# Completion of sluice for bash 4 and later: eval "$(sluice completion bash)"
_sluice_complete() {
  local line=${COMP_LINE:0:COMP_POINT} current run=(sluice) words answer directive piece
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=${words[${#words[@]} - 1]}
  type -P sluice >/dev/null || run=(@launch@)
  mapfile -t answer < <("${run[@]}" __complete -- "${words[@]:1}" 2>/dev/null </dev/null)
  COMPREPLY=()
  [[ ${#answer[@]} -gt 0 ]] || return 0
  directive=${answer[${#answer[@]} - 1]}
  unset "answer[${#answer[@]} - 1]"
  if [[ $directive == :files ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return 0
  fi
  [[ $directive == :open ]] && compopt -o nospace
  # Bash cuts words at the colons and equals signs of COMP_WORDBREAKS, and replaces the last piece alone.
  local kept=
  if [[ $current == *[:=]* ]]; then
    kept=${current%"${current##*[:=]}"}
    [[ $kept == *:* && $COMP_WORDBREAKS != *:* ]] && kept=
    [[ $kept == *=* && $COMP_WORDBREAKS != *=* ]] && kept=
  fi
  for piece in "${answer[@]}"; do
    printf -v piece %q "${piece%%$'\t'*}"
    # %q quotes an equals sign at no place of a word, a comma needlessly.
    piece=${piece//\\,/,}
    COMPREPLY+=("${piece#"$kept"}")
  done
}
complete -o nosort -F _sluice_complete sluice
