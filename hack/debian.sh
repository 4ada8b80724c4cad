# Debian packages of other suites and architectures, without touching the machine's own: sourced by the scripts that want some.

# The Debian mirror that this machine's apt uses already.
debian_mirror() {
	apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		awk '$1 == "Debian" && $2 == "Debian" {print $3; exit}'
}

# Makes FOLDER an apt state of our own, for that suite.
private_apt_init() { # FOLDER MIRROR SUITE
	mkdir -p "$1"/{lists,cache/archives/partial}
	printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$2" "$3" >"$1/sources.list"
}

# apt-get, apt-cache, ... on that state. An empty status: what is installed here decides nothing, and all that is needed comes.
private_apt() { # FOLDER ARCHITECTURE TOOL ARGUMENT...
	local state=$1 arch=$2 tool=$3
	shift 3
	"$tool" -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::Etc::sourcelist="$state/sources.list" \
		-o Dir::Etc::sourceparts=- -o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- -o Dir::State::lists="$state/lists" \
		-o Dir::State::status=/dev/null -o Dir::Cache="$state/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root \
		-o Acquire::Retries=2 "$@"
}
