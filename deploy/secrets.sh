#!/usr/bin/env bash
# Makes the secrets of a deployment: a certificate authority, certificates for the balancer and the
# replicas, the passwords of the database and of Grafana, and the servers' configuration.
#
#   deploy/secrets.sh FOLDER NAME...      NAME: a host or IP by which clients call
#
# Existing files are kept. It exits with 1 if the balancer's certificate exists but is not for a NAME, and
# warns of certificates that expire within 30 days.
#
# Only you can open the folder. The files in it, even keys, are readable, because the users inside
# containers, who own none of them, have to read them.
set -euo pipefail
folder=${1:?name the folder, and the names by which clients call}
shift
database=${DATABASE:-postgres:5432}
days=365
umask 022
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
[ -e ca.pem ] || openssl req -x509 "${key[@]}" -days 3650 -subj "/CN=Graftscope's authority" \
    -keyout ca.key -out ca.pem 2>/dev/null
# Only needed to make certificates. Missing if the authority is somebody else's.
[ ! -e ca.key ] || chmod 600 ca.key

is_address() { [[ $1 =~ ^[0-9.]+$|: ]]; }

certificate() { # PART NAMES...
    [ ! -e "$1.pem" ] || return 0
    local names=() each
    for each in "${@:2}"; do
        if is_address "$each"; then names+=("IP:$each"); else names+=("DNS:$each"); fi
    done
    openssl req "${key[@]}" -subj "/CN=$1" -keyout "$1.pem.key" -out "$1.csr" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$days" \
        -out "$1.pem" \
        -extfile <(printf 'subjectAltName=%s' "$(IFS=,; echo "${names[*]}")") 2>/dev/null
    rm "$1.csr"
    chmod 644 "$1.pem.key"
}
certificate balancer localhost 127.0.0.1 "$@"
certificate replica replica replica-1 replica-2 localhost 127.0.0.1 "$@"

for each in "$@"; do
    if is_address "$each"; then asked=-checkip; else asked=-checkhost; fi
    if [[ $(openssl x509 -in balancer.pem -noout "$asked" "$each") != *"does match"* ]]; then
        echo "$folder/balancer.pem is not for $each: remove it and replica.pem, and run this again" >&2
        exit 1
    fi
done
for each in balancer.pem replica.pem ca.pem; do
    if ! openssl x509 -in "$each" -noout -checkend $((30 * 24 * 3600)) >/dev/null; then
        ends=$(openssl x509 -in "$each" -noout -enddate)
        echo "warning: $folder/$each ends on ${ends#notAfter=}" >&2
    fi
done

[ -e database-password ] || openssl rand -hex 24 >database-password
[ -e grafana-password ] || openssl rand -hex 12 >grafana-password
[ -e graftscope.toml ] || cat >graftscope.toml <<TOML
# The servers' configuration: it holds the database's password.
jobs_url = "postgresql+psycopg://graftscope:$(cat database-password)@$database/graftscope"
TOML
