cwlVersion: v1.2
class: CommandLineTool
label: Publish a product
doc: >-
  Sends a product to a folder or an s3:// prefix and verifies what arrived. Its STAC item comes last: where it is,
  the product is complete. The same product again is no work; another one of that name is refused.

$namespaces:
  cwltool: http://commonwl.org/cwltool#

baseCommand: [landsat-downsample, stage-out]
# An href in the folder that `published` gives back starts where that folder does: at the folder of all outputs.
arguments: [--relative-to=$(runtime.outdir)/$(inputs.to)/..]

inputs:
  folder:
    type: Directory
    label: The product
    doc: What downsample gives.
    inputBinding: {position: 1}
  to:
    type: string
    label: Where products are published
    doc: >-
      An s3:// prefix, a folder by its absolute path (without a container), or a name such as published: then the
      step gives that folder back. The product gets a folder of its own in it.
    inputBinding: {prefix: --to}
  overwrite:
    type: boolean?
    doc: Replace another product of that name.
    inputBinding: {prefix: --overwrite}
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
  item_href: {type: stdout, doc: "One line with the href of the published STAC item; in `published`, relative to the folder of the outputs."}
  published:
    type: Directory?
    doc: The folder that `to` names, where it is a relative one.
    # The leading ./ keeps s3:// prefixes and absolute paths from matching, or from being refused as patterns.
    outputBinding: {glob: ./$(inputs.to)}
  stage_out_log: {type: stderr, doc: "Warnings, and on failure one line that says what is wrong and what to do."}

stdout: item_href.txt
stderr: stage_out.log.txt

successCodes: [0]
temporaryFailCodes: [75]
permanentFailCodes: [1, 2, 3]

requirements:
  NetworkAccess: {networkAccess: true}
  ResourceRequirement: {coresMin: 1, coresMax: 1, ramMin: 512, ramMax: 1024}
  InitialWorkDirRequirement:
    listing:
      # Not in the arguments or the environment, where others see it; without a value no file is written.
      - {entryname: .aws/credentials, entry: $(inputs.aws_credentials)}
  # A step from a cache would publish nothing, and would keep the file above.
  WorkReuse: {enableReuse: false}

hints:
  DockerRequirement: {dockerPull: ghcr.io/landsat-downsample/landsat-downsample:0.1.0}
  cwltool:Secrets: {secrets: [aws_credentials]}
