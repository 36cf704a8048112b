#!/bin/sh
# `npm run deploy`: migrates and deploys from a machine that may lack Rust, such as the builder behind a "Deploy to
# Cloudflare" button. An operator runs `cargo deploy` instead.
set -eu
cd "$(dirname "$0")/../.."

if ! command -v cargo >/dev/null; then
  curl --proto '=https' --tlsv1.2 --silent --show-error --fail https://sh.rustup.rs |
    sh -s -- -y --no-modify-path --profile minimal --default-toolchain none
  PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  export PATH
  # The one that rust-toolchain.toml names.
  rustup toolchain install
fi

# A build expects the tables it was written for.
npx wrangler d1 migrations apply LISTING --remote
npx wrangler deploy
