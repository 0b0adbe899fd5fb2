#!/bin/sh
# Lays out one run: the CWL files with the image that the cluster has, a job file with the store's
# keys in it if there are any, and fresh folders. The job file lies in memory and goes with the pod.
set -eu
umask 077
cp "$(dirname "$0")"/../cwl/* cwl/
sed -i "s|dockerPull: [^ ,}]*|dockerPull: $LANDSAT_DOWNSAMPLE_IMAGE|" cwl/*.cwl

line() { # name in the file, value
    if [ -n "$2" ]; then printf '  %s = %s\n' "$1" "$2"; fi
}

if [ -n "${AWS_ACCESS_KEY_ID:-}" ]; then
    {
        printf '\naws_credentials: |\n  [default]\n'
        line aws_access_key_id "$AWS_ACCESS_KEY_ID"
        line aws_secret_access_key "$AWS_SECRET_ACCESS_KEY"
        line aws_session_token "${AWS_SESSION_TOKEN:-}"
        line endpoint_url "${AWS_ENDPOINT_URL:-}"
        line region "${AWS_DEFAULT_REGION:-}"
    } >> "cwl/$WORKFLOW-inputs.yml"
fi

# What a killed run left, a step's keys among it: one run at a time uses this volume.
rm -rf tmp
umask 002
mkdir -p tmp "out/$CALRISSIAN_POD_NAME/logs"
