cwlVersion: v1.2
class: CommandLineTool
label: Bring a scene here
doc: >-
  Copies a Landsat scene or a single GeoTIFF into a folder, every byte verified, with a self-contained STAC
  catalogue (catalog.json) beside the files. Nothing appears under its final name unless all of it has arrived.

$namespaces:
  cwltool: http://commonwl.org/cwltool#

baseCommand: [landsat-downsample, stage-in]
arguments: [--to=staged]

inputs:
  href:
    type: [string, File, Directory]
    label: Where the scene is
    doc: >-
      A URL (http, https, s3), or a file or folder of this machine: a GeoTIFF, scene folder or prefix, MTL,
      STAC item or tar.
    inputBinding: {position: 1}
  bands:
    type: string?
    doc: Names of the bands to bring, with commas between them; all by default. QA_PIXEL comes along.
    inputBinding: {prefix: --bands}
  requester_pays:
    type: boolean?
    doc: Agree to pay for reads where the bucket asks it.
    inputBinding: {prefix: --requester-pays}
  allow_host:
    type:
      - "null"
      - {type: array, items: string, inputBinding: {prefix: --allow-host}}
    doc: Host of this machine or its own network that remote documents and redirects may lead to.
  budget:
    type: float?
    doc: Seconds for which a request that fails for a while is tried again (default 120).
    inputBinding: {prefix: --budget}
  aws_credentials:
    type: string?
    doc: >-
      The text of an AWS credentials file, for a runner that cannot give the step an identity of its own.
      Without it the ambient identity is used. Put it into a job file that only you can read, never on a command line.
    # Deleted by the command before it does anything else.
    inputBinding: {prefix: --credentials-once, valueFrom: .aws/credentials}

outputs:
  scene_dir:
    type: Directory?  # none when the step fails: an output that must be there would take the log with it
    doc: The scene under its own name, with catalog.json.
    outputBinding: {glob: staged/*}
  stage_in_out: {type: stdout, doc: Path of catalog.json in the step's folder.}
  stage_in_log: {type: stderr, doc: "Warnings, and on failure one line that says what is wrong and what to do."}

stdout: stage_in.out.txt
stderr: stage_in.log.txt

successCodes: [0]
temporaryFailCodes: [75]
permanentFailCodes: [1, 2, 3]

requirements:
  NetworkAccess: {networkAccess: true}
  ResourceRequirement: {coresMin: 1, coresMax: 1, ramMin: 512, ramMax: 1024, outdirMin: 2048}
  InitialWorkDirRequirement:
    listing:
      # Not in the arguments or the environment, where others see it; without a value no file is written.
      - {entryname: .aws/credentials, entry: $(inputs.aws_credentials)}
  # A cached step would keep the file above.
  WorkReuse: {enableReuse: false}

hints:
  DockerRequirement: {dockerPull: ghcr.io/landsat-downsample/landsat-downsample:0.1.0}
  cwltool:Secrets: {secrets: [aws_credentials]}
