# Completion of sluice for fish: sluice completion fish | source
function __sluice_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l run sluice
    command -sq sluice; or set run @launch@
    set -e words[1]
    set -l answer ($run __complete -- $words "$current" 2>/dev/null </dev/null)
    set -q answer[1]; or return
    if test "$answer[-1]" = ":files"
        __fish_complete_path "$current"
        return
    end
    set -e answer[-1]
    printf '%s\n' $answer
end
complete -c sluice -e
complete -c sluice -k -f -a '(__sluice_complete)'
