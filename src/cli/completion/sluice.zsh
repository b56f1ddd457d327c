#compdef sluice
# Completion of sluice for zsh: source <(sluice completion zsh), or as a file _sluice in a directory of fpath
_sluice() {
  local -a run answer values shown options
  local directive line
  run=(sluice)
  whence -p sluice >/dev/null || run=(@launch@)
  answer=("${(@f)$("${run[@]}" __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)}")
  (( ${#answer} )) || return 1
  directive=${answer[-1]}
  if [[ $directive == :files ]]; then
    _files
    return
  fi
  for line in "${(@)answer[1,-2]}"; do
    values+=("${line%%$'\t'*}")
    if [[ -n ${line#*$'\t'} ]]; then
      shown+=("${${line%%$'\t'*}}  -- ${line#*$'\t'}")
    else
      shown+=("${line%%$'\t'*}")
    fi
  done
  (( ${#values} )) || return 1
  [[ $directive == :open ]] && options=(-S '')
  [[ -n "${shown[1]:#${values[1]}}" ]] && options+=(-l)
  compadd "${options[@]}" -V sluice -d shown -a values
}
if [[ ${funcstack[1]} == _sluice ]]; then
  _sluice "$@"
else
  (( ${+functions[compdef]} )) || { autoload -Uz compinit && compinit }
  compdef _sluice sluice
fi
