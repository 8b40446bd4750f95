#!/usr/bin/env bash
# Makes a certificate for localhost that nobody vouches for: `scripts/certificate.sh FOLDER` writes
# cert.pem and key.pem there, unless there is a pair that is good for another day.
set -euo pipefail
folder=${1:?a folder}

[ -r "$folder/key.pem" ] && openssl x509 -in "$folder/cert.pem" -noout -checkend 86400 >/dev/null 2>&1 && exit 0
mkdir -p "$folder"
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 -addext basicConstraints=critical,CA:FALSE \
  -addext extendedKeyUsage=serverAuth -keyout "$folder/key.pem" -out "$folder/cert.pem"
