#!/usr/bin/env bash
# Makes in the directory $1 a test CA, the gateway's certificate, and the CA of those who intercept.
set -euo pipefail
cd "$1"
ec=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
openssl req -x509 "${ec[@]}" -days 30 -subj "/CN=Gauntlet Test CA" -keyout ca.key -out ca.crt
openssl req "${ec[@]}" -subj "/CN=localhost" -keyout gateway.key -out gateway.csr
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >ext
openssl x509 -req -in gateway.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out gateway.crt
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=Inspection CA" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
  -keyout mitm.key -out mitm.crt
cat mitm.key mitm.crt >mitm.pem
openssl x509 -in gateway.crt -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary \
  | base64 >gateway.spki
