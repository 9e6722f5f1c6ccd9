# shellcheck shell=bash disable=SC2016  # the dollar signs are for apt
# Packages on Debian and Ubuntu, and Debian's backports where the release's own Mesa is too old.

# SAPIEN needs descriptor indexing, which Mesa's software Vulkan driver has from this version on.
MINIMUM_MESA=23.1

sources_directory=${APT_SOURCES:-/etc/apt}

# apt's own reading of its sources, whichever of the two formats they are written in.
configured_releases() { # lines: URI RELEASE COMPONENT
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages'
}

archive_uri() { # archive_uri CODENAME: where the release's main component comes from
    configured_releases | awk -v release="$1" '$2 == release && $3 == "main" { print $1; exit }'
}

# The keyring that the source of (URI, CODENAME) names, or nothing: apt then asks its trusted keys.
archive_keyring() { # archive_keyring URI CODENAME
    local uri=${1%/} codename=$2
    {
        find "$sources_directory" -maxdepth 2 -name '*.sources' -exec awk -v uri="$uri" -v codename="$codename" '
            BEGIN { RS = ""; FS = "\n" }
            index($0, uri) && $0 ~ "Suites:[^\n]*" codename {
                for (i = 1; i <= NF; i++) if ($i ~ /^Signed-By:[ \t]*\//) { sub(/^Signed-By:[ \t]*/, "", $i); print $i }
            }' {} +
        find "$sources_directory" -maxdepth 2 -name '*.list' -exec awk -v uri="$uri" -v codename="$codename" '
            $1 == "deb" && index($0, uri) && index($0, " " codename " ") && match($0, /signed-by=[^] \t]+/) {
                print substr($0, RSTART + 10, RLENGTH - 10)
            }' {} +
    } | head -n 1
}

backports_source() { # backports_source CODENAME: a deb822 source on the machine's own mirror
    local codename=$1 uri keyring
    uri=$(archive_uri "$codename")
    [ -n "$uri" ] || return 1
    keyring=$(archive_keyring "$uri" "$codename")
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n' "$uri" "$codename"
    if [ -n "$keyring" ]; then
        printf 'Signed-By: %s\n' "$keyring"
    fi
}

candidate_version() { LC_ALL=C apt-cache policy "$1" | awk '$1 == "Candidate:" { print $2 }'; }

# The release whose Mesa is new enough (empty: the default one), after `apt-get update`.
mesa_release() {
    local codename
    codename=$(os_release VERSION_CODENAME)
    if dpkg --compare-versions "$(candidate_version mesa-vulkan-drivers)" ge "$MINIMUM_MESA"; then
        echo ""
    elif [ "$(os_release ID)" = debian ]; then
        echo "$codename-backports"
    else
        return 1
    fi
}

apt_get() { # as root, patient with another apt that runs
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"
}

add_backports() { # add_backports CODENAME
    local source
    source=$(backports_source "$1") ||
        die "no source of Debian $1's main archive is configured in $sources_directory" \
            "add $1-backports to apt's sources, then run the same command again"
    printf '%s\n' "$source" | $as_root tee "$sources_directory/sources.list.d/worldvla-backports.sources" >/dev/null
}

apt_install() { # apt_install PACKAGE...
    local release
    logged "Updating the package lists" apt_get update
    release=$(mesa_release) ||
        die "$(os_release PRETTY_NAME) offers Mesa $(candidate_version mesa-vulkan-drivers); $MINIMUM_MESA or newer is needed" \
            "use a newer release, or a GPU with its Vulkan driver"
    if [ -n "$release" ] && ! configured_releases | awk '{ print $2 }' | grep -qx "$release"; then
        add_backports "${release%-backports}"
        logged "Updating the package lists with $release" apt_get update
    fi
    logged "Installing $*" apt_get install -y --no-install-recommends ${release:+-t "$release"} "$@"
}
