/** What each shell is told: only how to ask. What there is to suggest is in the tree of commands, so no script ever goes stale. */

const bash = `# Completion of sealift for bash. Try it with: source <(sealift completion bash)
_sealift() {
  local line=\${COMP_LINE:0:COMP_POINT} current answer value
  local -a words
  IFS=' ' read -ra words <<<"$line"
  [[ $line == *' ' ]] && words+=('')
  current=\${words[\${#words[@]}-1]}
  COMPREPLY=()
  answer=$("$1" __complete "\${words[@]:1}" 2>/dev/null) || return 0
  if [[ $answer == files ]]; then
    compopt -o default 2>/dev/null
    return 0
  fi
  while IFS=$'\\t' read -r value _; do
    # What stands before "=" is a word of its own to bash, and is there already.
    [[ $current == --*=* ]] && value=\${value#*=}
    COMPREPLY+=("$value")
  done < <(tail -n +2 <<<"$answer")
}
complete -F _sealift sealift
`;

const zsh = `#compdef sealift
# Completion of sealift for zsh. Try it with: source <(sealift completion zsh)
_sealift() {
  local -a lines values
  local line
  lines=("\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ \${lines[1]} == files ]]; then
    _files
    return
  fi
  for line in "\${(@)lines[2,-1]}"; do
    [[ -n $line ]] && values+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  (( \${#values} )) && _describe -t sealift sealift values
}
if [[ \${funcstack[1]} == _sealift ]]; then
  _sealift "$@"
else
  compdef _sealift sealift
fi
`;

const fish = `# Completion of sealift for fish. Try it with: sealift completion fish | source
function __sealift_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    if test "$lines[1]" = files
        __fish_complete_path "$current"
        return
    end
    if test (count $lines) -gt 1
        printf '%s\\n' $lines[2..-1]
    end
end
complete -c sealift -f -a '(__sealift_complete)'
`;

export const scripts = { bash, zsh, fish } as const;
