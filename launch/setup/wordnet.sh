# shellcheck shell=bash
# WordNet's database files, from Debian's package wordnet-base.

thaw_wordnet=/usr/share/wordnet

# ensure_wordnet: $thaw_wordnet is a folder with data.noun and the others. Who may not install the
# package unpacks it below data/.
ensure_wordnet() {
  local unpacked=data/wordnet partial
  if [[ -f $thaw_wordnet/data.noun ]]; then
    return
  fi
  thaw_wordnet=$unpacked/usr/share/wordnet
  if [[ -f $thaw_wordnet/data.noun ]]; then
    return
  fi
  if offline || ! command -v apt-get >/dev/null; then
    fail "WordNet's data.noun is not in /usr/share/wordnet" \
      "on Debian: apt-get install wordnet-base; elsewhere unpack WordNet 3.0's dict/ to $thaw_wordnet"
  fi
  rm -rf data/wordnet.partial.*
  partial=$(mktemp -d data/wordnet.partial.XXXXXX)
  remove_at_exit "$partial"
  (cd "$partial" && run apt-get -qq download wordnet-base && dpkg-deb -x wordnet-base_*.deb .)
  rm -f "$partial"/*.deb
  rm -rf "$unpacked"
  mv "$partial" "$unpacked"
}
