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
elif grep -q '^[^#]*s3://' "cwl/$WORKFLOW-inputs.yml"; then
    echo "prepare: there are no keys for s3://: secret 'landsat-downsample' is not in namespace '$POD_NAMESPACE', or holds none;" \
        "unless service account 'step' has an identity that is bound to it:" \
        "kubectl -n $POD_NAMESPACE create secret generic landsat-downsample --from-env-file=store.env" >&2
fi
# For the message of a step that finds no keys.
echo "LANDSAT_DOWNSAMPLE_IDENTITY_FROM: $POD_NAMESPACE/landsat-downsample" > cwl/pod-env.yml

# Results of steps are kept for another go of the same job, in another pod: those of stage_in too, as its command deletes
# the keys that it is given. A step that failed is done again; where many scenes are asked for it counts as done, and may
# have left a hidden folder of what it had.
# Their folder has another name at each go: it must not be in the command, by which a result is found again.
sed -i -e '/A cached step would keep the file above/{n;s/false/true/;}' -e 's|to=$(runtime.outdir)$|to=.|' cwl/*.cwl
if [ "$(cat tmp/cache/job 2>/dev/null)" = "$JOB_UID" ]; then
    for step in tmp/cache/*/; do
        [ -d "$step" ] || continue
        rm -rf "$step.aws"
        find "$step" -maxdepth 2 \( -path '*/staged/[!.]*' -o -name '*_downsampled' \) | grep -q . ||
            rm -rf "$step" "${step%/}.status"
    done
else
    # What a killed run left, a step's keys among it: one run at a time uses this volume.
    rm -rf tmp
fi
umask 002
mkdir -p tmp/cache "out/$CALRISSIAN_POD_NAME/logs"
echo "$JOB_UID" > tmp/cache/job
