cwlVersion: v1.2

$namespaces:
  cwltool: http://commonwl.org/cwltool#

# Runners stop at the first step that fails, and so would lose the scenes that wait behind it. In here no tool
# fails: each takes every exit code of ours, and those of a process that was killed (out of memory, say; containers
# and native runs count them differently), for a success and passes it on as an output, so that a scene is, from
# step to step, a list of one or none. At the very end `every_scene` fails if any of those codes was not 0. By then
# all other scenes are published and the workflow's outputs are complete, logs included.
# The three tools differ from stage_in.cwl, downsample.cwl and stage_out.cwl in nothing else than that and the
# names of their logs; a test compares them.
$graph:
  - id: main
    class: Workflow
    label: Bring many scenes here, make them smaller, publish them
    doc: >-
      The three steps of workflow.cwl for each of many scenes. A scene that fails does not lose the others; if any
      failed, the workflow ends with permanentFail after the last one, its outputs complete. Running it again
      publishes only what is missing.
    inputs:
      href:
        type: {type: array, items: [string, File, Directory]}
        label: Where the scenes are
        doc: URLs (http, https, s3), or files or folders of this machine.
      to:
        type: string
        label: Where the products are published
        doc: >-
          An s3:// prefix, a folder by its absolute path (without a container), or a name such as published: then
          the workflow gives the products back.
      factor: {type: "float?", doc: Pixels per cell along each axis.}
      resolution: {type: "float?", doc: Cell size in units of the scene's CRS (metres).}
      size: {type: "string?", doc: "Cells across and down, W,H; a 0 keeps the aspect: 100,0."}
      grid: {type: "string?", doc: "zone (default): cells on one lattice for all scenes of a CRS; scene: from each scene's own corner; or a grid with cells of its own, without factor, resolution and size: modis:500m, latlon:0.05, mgrs:32TQM:300, EPSG:3035@500 (the verb grids lists them)."}
      anchor: {type: "string?", doc: "Corner of any cell in units of the CRS, X,Y."}
      bounds: {type: "string?", doc: "Area of interest in units of the grid's CRS: left,bottom,right,top."}
      bands: {type: "string?", doc: "USGS or common names with commas between them: red,SR_B5,QA_PIXEL; all by default."}
      qa: {type: "string?", doc: "How bit fields are reduced: conservative (default), majority, mode or nearest."}
      mask: {type: "string?", doc: "Leave out pixels with these flags of the quality band: cloud,shadow,adjacent,snow,water,cirrus."}
      min_valid: {type: "float?", doc: Least share of valid pixels in a cell that holds data.}
      method: {type: "string[]?", doc: BAND=METHOD for each band to reduce otherwise.}
      stats: {type: "string?", doc: "Statistics of bands that are averaged, a file each: mean,std,min,max,count (also median, rms, sum)."}
      units: {type: "string?", doc: "What bands that are averaged hold: dn (default), numbers as stored; scaled, reflectance and kelvin as floats."}
      index: {type: "string?", doc: "Spectral indices, a file each: ndvi,evi,ndwi,nbr, lst (the surface temperature in kelvin) ...; bands none for them alone."}
      index_order: {type: "string?", doc: "mean-of-index (default), each pixel's index and then the mean of them; index-of-means, the index of the bands' means."}
      workers: {type: "int?", default: 1, doc: "Cores to ask the runner for, each for a thread or dask worker."}
      ram: {type: "int?", default: 1024, doc: MiB of memory to ask the runner for.}
      cluster: {type: "string?", doc: "none, local, or the address of a dask scheduler, whose workers must see the step's folders."}
      min_spin_time: {type: "float?", doc: "Seconds of simulated CPU load before the reduction, at least (default 0, at most 3600)."}
      max_spin_time: {type: "float?", doc: And at most; the time between them is random.}
      timeout: {type: "float?", doc: "Seconds after which the reduction gives up, as a temporary failure."}
      network_access: {type: boolean, default: false, doc: Let downsample's container reach the network; only a cluster elsewhere needs it.}
      requester_pays: {type: "boolean?", doc: Agree to pay for reads where the bucket asks it.}
      allow_host: {type: "string[]?", doc: Host of this machine or its own network that remote documents and redirects may lead to.}
      overwrite: {type: "boolean?", doc: Replace another product of that name.}
      budget: {type: "float?", doc: "Seconds for which a request of the staging steps that fails for a while is tried again (default 120)."}
      aws_credentials:
        type: string?
        doc: >-
          The text of an AWS credentials file, for a runner that cannot give the steps an identity of their own.
          Without it the ambient identity is used. Put it into a job file that only you can read, never on a command line.
    steps:
      scenes:
        run: "#scene"
        scatter: href
        in:
          href: href
          to: to
          factor: factor
          resolution: resolution
          size: size
          grid: grid
          anchor: anchor
          bounds: bounds
          bands: bands
          qa: qa
          mask: mask
          min_valid: min_valid
          method: method
          stats: stats
          units: units
          index: index
          index_order: index_order
          workers: workers
          ram: ram
          cluster: cluster
          min_spin_time: min_spin_time
          max_spin_time: max_spin_time
          timeout: timeout
          network_access: network_access
          requester_pays: requester_pays
          allow_host: allow_host
          overwrite: overwrite
          budget: budget
          aws_credentials: aws_credentials
        out: [item_href, published, outcome, stage_in_log, downsample_log, stage_out_log, exit_codes]
      every_scene:
        run: "#every_scene"
        in:
          exit_codes: scenes/exit_codes
        out: []
    # Lists in the order of the scenes; in each a list of one, or none where the scene did not come that far.
    outputs:
      exit_codes: {type: {type: array, items: {type: array, items: int}}, outputSource: scenes/exit_codes, doc: Of each scene's steps.}
      item_href: {type: {type: array, items: {type: array, items: File}}, outputSource: scenes/item_href}
      published: {type: {type: array, items: {type: array, items: Directory}}, outputSource: scenes/published}
      outcome: {type: {type: array, items: {type: array, items: File}}, outputSource: scenes/outcome}
      stage_in_log: {type: "File[]", outputSource: scenes/stage_in_log}
      downsample_log: {type: {type: array, items: {type: array, items: File}}, outputSource: scenes/downsample_log}
      stage_out_log: {type: {type: array, items: {type: array, items: File}}, outputSource: scenes/stage_out_log}
    requirements:
      ScatterFeatureRequirement: {}
      SubworkflowFeatureRequirement: {}
      MultipleInputFeatureRequirement: {}
    hints:
      cwltool:Secrets: {secrets: [aws_credentials]}

  - id: scene
    class: Workflow
    doc: One scene; each step's scatter runs over what the step before it gave, one folder or none.
    inputs:
      href: [string, File, Directory]
      to: string
      factor: float?
      resolution: float?
      size: string?
      grid: string?
      anchor: string?
      bounds: string?
      bands: string?
      qa: string?
      mask: string?
      min_valid: float?
      method: string[]?
      stats: string?
      units: string?
      index: string?
      index_order: string?
      workers: int?
      ram: int?
      cluster: string?
      min_spin_time: float?
      max_spin_time: float?
      timeout: float?
      network_access: boolean
      requester_pays: boolean?
      allow_host: string[]?
      overwrite: boolean?
      budget: float?
      aws_credentials: string?
    steps:
      stage_in:
        run: "#stage_in"
        in:
          href: href
          bands: bands
          requester_pays: requester_pays
          allow_host: allow_host
          budget: budget
          aws_credentials: aws_credentials
        out: [scene_dir, stage_in_log, exit_code]
      downsample:
        run: "#downsample"
        scatter: source
        in:
          source: {source: [stage_in/scene_dir], linkMerge: merge_nested, pickValue: all_non_null, valueFrom: $(self)}
          factor: factor
          resolution: resolution
          size: size
          grid: grid
          anchor: anchor
          bounds: bounds
          bands: bands
          qa: qa
          mask: mask
          min_valid: min_valid
          method: method
          stats: stats
          units: units
          index: index
          index_order: index_order
          workers: workers
          ram: ram
          cluster: cluster
          min_spin_time: min_spin_time
          max_spin_time: max_spin_time
          timeout: timeout
          network_access: network_access
        out: [dataset_dir, downsample_out, downsample_log, exit_code]
      stage_out:
        run: "#stage_out"
        scatter: folder
        in:
          folder:
            {source: [downsample/dataset_dir], linkMerge: merge_flattened, pickValue: all_non_null, valueFrom: $(self)}
          to: to
          overwrite: overwrite
          budget: budget
          aws_credentials: aws_credentials
        out: [item_href, published, stage_out_log, exit_code]
    outputs:
      item_href: {type: "File[]", outputSource: stage_out/item_href}
      published: {type: "Directory[]", outputSource: [stage_out/published], linkMerge: merge_flattened, pickValue: all_non_null}
      outcome: {type: "File[]", outputSource: downsample/downsample_out}
      stage_in_log: {type: File, outputSource: stage_in/stage_in_log}
      downsample_log: {type: "File[]", outputSource: downsample/downsample_log}
      stage_out_log: {type: "File[]", outputSource: stage_out/stage_out_log}
      exit_codes:
        type: int[]
        outputSource: [stage_in/exit_code, downsample/exit_code, stage_out/exit_code]
        linkMerge: merge_flattened
    requirements:
      ScatterFeatureRequirement: {}
      MultipleInputFeatureRequirement: {}
      StepInputExpressionRequirement: {}
    hints:
      cwltool:Secrets: {secrets: [aws_credentials]}

  - id: every_scene
    class: CommandLineTool
    # A result from a cache (--cachedir) has the exit code true, also of a step that had failed; the last is never from one.
    doc: Fails unless all three steps of every scene were done, with exit code 0.
    baseCommand: [grep, --quiet, --line-regexp, --extended-regexp, "[[]([[]((0|true), ?){2}0[]](, ?)?)*[]]", exit_codes.json]
    inputs:
      exit_codes: {type: {type: array, items: {type: array, items: int}}}
    outputs: []
    requirements:
      ResourceRequirement: {coresMin: 1, coresMax: 1, ramMin: 64, ramMax: 128}
      InitialWorkDirRequirement:
        listing:
          - {entryname: exit_codes.json, entry: "$(inputs.exit_codes)\n"}
    hints:
      DockerRequirement: {dockerPull: ghcr.io/landsat-downsample/landsat-downsample:0.1.0}

  - id: stage_in
    class: CommandLineTool
    label: Bring a scene here
    doc: >-
      Copies a Landsat scene or a single GeoTIFF into a folder, every byte verified, with a self-contained STAC
      catalogue (catalog.json) beside the files. Nothing appears under its final name unless all of it has arrived.

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
      exit_code: {type: int, outputBinding: {outputEval: $(runtime.exitCode)}}

    stdout: stage_in.out.txt
    stderr: stage_in.log.txt

    successCodes: [0, 1, 2, 3, 75, 130, 134, 137, 139, 143, -6, -9, -11, -15]

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

  - id: downsample
    class: CommandLineTool
    label: Make a scene smaller
    doc: >-
      Reduces every band of a scene by what it means, on a coarser grid, from every full-resolution pixel. The product
      appears whole or not at all. Give exactly one of factor, resolution and size, or a grid with cells of its own.

    baseCommand: [landsat-downsample, run]
    # Absolute, since the workers of a cluster have a working folder of their own; the href that is told is not.
    arguments:
      - --to=$(runtime.outdir)
      - --relative-to=$(runtime.outdir)
      - --workers=$(runtime.cores)
      - --memory=$(runtime.ram)

    inputs:
      source:
        type: [File, Directory]
        label: The scene
        doc: A GeoTIFF, scene folder, MTL, STAC item or tar on this machine; what stage_in gives.
        inputBinding: {position: 1}
      factor:
        type: float?
        doc: Pixels per cell along each axis.
        inputBinding: {prefix: --factor}
      resolution:
        type: float?
        doc: Cell size in units of the scene's CRS (metres).
        inputBinding: {prefix: --resolution}
      size:
        type: string?
        doc: "Cells across and down, W,H; a 0 keeps the aspect: 100,0."
        inputBinding: {prefix: --size}
      grid:
        type: string?
        doc: "zone (default): cells on one lattice for all scenes of a CRS; scene (implied by size): from the scene's own corner; or a grid with cells of its own, without factor, resolution and size: modis:500m, latlon:0.05, mgrs:32TQM:300, EPSG:3035@500 (the verb grids lists them)."
        inputBinding: {prefix: --grid}
      anchor:
        type: string?
        doc: "Corner of any cell in units of the CRS, X,Y (default -15,15)."
        inputBinding: {prefix: --anchor=, separate: false}
      bounds:
        type: string?
        doc: "Area of interest in units of the grid's CRS: left,bottom,right,top; widened to whole cells."
        inputBinding: {prefix: --bounds=, separate: false}
      bands:
        type: string?
        doc: "USGS or common names with commas between them: red,SR_B5,QA_PIXEL; all by default."
        inputBinding: {prefix: --bands}
      qa:
        type: string?
        doc: "How bit fields are reduced: conservative (default), majority, mode or nearest."
        inputBinding: {prefix: --qa}
      mask:
        type: string?
        doc: "Leave out pixels with these flags of the quality band: cloud,shadow,adjacent,snow,water,cirrus."
        inputBinding: {prefix: --mask}
      min_valid:
        type: float?
        doc: Least share of valid pixels in a cell that holds data, 0 to 1 (default 0).
        inputBinding: {prefix: --min-valid}
      method:
        type:
          - "null"
          - {type: array, items: string, inputBinding: {prefix: --method}}
        doc: "BAND=METHOD for each band to reduce otherwise: mean, median, min, max, sum, std, rms, count, mode or nearest."
      stats:
        type: string?
        doc: "Statistics of bands that are averaged, a file each: mean,std,min,max,count (also median, rms, sum)."
        inputBinding: {prefix: --stats}
      units:
        type: string?
        doc: "What bands that are averaged hold: dn (default), numbers as stored; scaled, reflectance and kelvin as floats."
        inputBinding: {prefix: --units}
      index:
        type: string?
        doc: "Spectral indices, a file each: ndvi,evi,ndwi,nbr, lst (the surface temperature in kelvin) ...; bands none for them alone."
        inputBinding: {prefix: --index}
      index_order:
        type: string?
        doc: "mean-of-index (default), each pixel's index and then the mean of them; index-of-means, the index of the bands' means."
        inputBinding: {prefix: --index-order}
      workers:
        type: int?
        default: 1
        doc: Cores to ask the runner for; as many threads, or dask workers, as it gives are used.
      ram:
        type: int?
        default: 1024
        doc: MiB of memory to ask the runner for; fewer bands at once where they would need more than it gives.
      cluster:
        type: string?
        doc: >-
          Where the work is done: none, local, or the address of a dask scheduler (tcp://host:8786), whose workers must
          see this step's folders. By the amount of work by default.
        inputBinding: {prefix: --cluster}
      min_spin_time:
        type: float?
        doc: Seconds of simulated CPU load before the work, at least (default 0, at most 3600); to try out schedulers.
        inputBinding: {prefix: --min-spin-time}
      max_spin_time:
        type: float?
        doc: And at most; the time between them is random.
        inputBinding: {prefix: --max-spin-time}
      timeout:
        type: float?
        doc: Seconds after which the step gives up, as a temporary failure.
        inputBinding: {prefix: --timeout}
      network_access:
        type: boolean
        default: false
        doc: Let the step's container reach the network; only a cluster elsewhere needs it.

    outputs:
      dataset_dir:
        type: Directory?  # none when the step fails: an output that must be there would take the log with it
        doc: The product, SCENE_downsampled.
        outputBinding: {glob: "*_downsampled"}
      downsample_out: {type: stdout, doc: "One JSON line: id, href, files, bytes read, peak memory, seconds."}
      downsample_log: {type: stderr, doc: "A line for each band, and on failure one that says what is wrong and what to do."}
      exit_code: {type: int, outputBinding: {outputEval: $(runtime.exitCode)}}

    stdout: $(inputs.source.basename).downsample.out.jsonl
    stderr: $(inputs.source.basename).downsample.log.txt

    successCodes: [0, 1, 2, 3, 75, 130, 134, 137, 139, 143, -6, -9, -11, -15]

    requirements:
      NetworkAccess: {networkAccess: $(inputs.network_access)}
      ResourceRequirement: {coresMin: $(inputs.workers), coresMax: $(inputs.workers), ramMin: $(inputs.ram), ramMax: $(inputs.ram)}

    hints:
      DockerRequirement: {dockerPull: ghcr.io/landsat-downsample/landsat-downsample:0.1.0}

  - id: stage_out
    class: CommandLineTool
    label: Publish a product
    doc: >-
      Sends a product to a folder or an s3:// prefix and verifies what arrived. Its STAC item comes last: where it is,
      the product is complete. The same product again is no work; another one of that name is refused.

    baseCommand: [landsat-downsample, stage-out]
    # An href in a folder that `published` gives back starts where that folder does: at the folder of all outputs.
    arguments: [--relative-to=$(runtime.outdir)/$(inputs.to)]

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
      item_href: {type: stdout, doc: One line with the href of the published STAC item; none if that failed.}
      published:
        type: Directory?
        doc: The product, where `to` is a relative folder.
        # The leading ./ keeps s3:// prefixes and absolute paths from matching, or from being refused as patterns.
        outputBinding: {glob: ./$(inputs.to)/*_downsampled}
      stage_out_log: {type: stderr, doc: "Warnings, and on failure one line that says what is wrong and what to do."}
      exit_code: {type: int, outputBinding: {outputEval: $(runtime.exitCode)}}

    stdout: $(inputs.folder.basename).item_href.txt
    stderr: $(inputs.folder.basename).stage_out.log.txt

    successCodes: [0, 1, 2, 3, 75, 130, 134, 137, 139, 143, -6, -9, -11, -15]

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
