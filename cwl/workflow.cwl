cwlVersion: v1.2
class: Workflow
label: Bring a scene here, make it smaller, publish it
doc: >-
  Three steps: stage_in copies and verifies the scene, downsample reduces it, stage_out publishes the product.
  A step that fails says why in its log and ends the workflow; nothing half-made is published.

$namespaces:
  cwltool: http://commonwl.org/cwltool#

inputs:
  href:
    type: [string, File, Directory]
    label: Where the scene is
    doc: >-
      A URL (http, https, s3), or a file or folder of this machine: a GeoTIFF, scene folder or prefix, MTL,
      STAC item or tar.
  to:
    type: string
    label: Where the product is published
    doc: >-
      An s3:// prefix, a folder by its absolute path (without a container), or a name such as published: then the
      workflow gives that folder back.
  factor: {type: "float?", doc: Pixels per cell along each axis.}
  resolution: {type: "float?", doc: Cell size in units of the scene's CRS (metres).}
  size: {type: "string?", doc: "Cells across and down, W,H; a 0 keeps the aspect: 100,0."}
  grid: {type: "string?", doc: "zone (default): cells on one lattice for all scenes of a CRS; scene: from the scene's own corner; or a grid with cells of its own, without factor, resolution and size: modis:500m, latlon:0.05, mgrs:32TQM:300, EPSG:3035@500 (the verb grids lists them)."}
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
  notebook: {type: boolean, default: false, doc: "Execute the notebook on the scene as well, and give it back."}
  aws_credentials:
    type: string?
    doc: >-
      The text of an AWS credentials file, for a runner that cannot give the steps an identity of their own.
      Without it the ambient identity is used. Put it into a job file that only you can read, never on a command line.

requirements:
  MultipleInputFeatureRequirement: {}
  # For valueFrom: a step's optional output feeds the next one's input, which is not optional.
  StepInputExpressionRequirement: {}

steps:
  stage_in:
    run: stage_in.cwl
    in:
      href: href
      bands: bands
      requester_pays: requester_pays
      allow_host: allow_host
      budget: budget
      aws_credentials: aws_credentials
    out: [scene_dir, stage_in_log]
  downsample:
    run: downsample.cwl
    in:
      source: {source: stage_in/scene_dir, valueFrom: $(self)}
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
    out: [dataset_dir, downsample_out, downsample_log]
  stage_out:
    run: stage_out.cwl
    in:
      folder: {source: downsample/dataset_dir, valueFrom: $(self)}
      to: to
      overwrite: overwrite
      budget: budget
      aws_credentials: aws_credentials
    out: [item_href, published, stage_out_log]

  # Works from the scene again, when the product is published, for which it waits by taking a second source: whatever
  # becomes of the notebook, that is not lost.
  execute_notebook:
    run: notebook.cwl
    when: $(inputs.wanted)
    in:
      wanted: notebook
      source: {source: [stage_in/scene_dir, stage_out/item_href], valueFrom: "$(self[0])"}
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
      timeout: timeout
    out: [output_nb, notebook_log]

outputs:
  dataset_dir: {type: "Directory?", outputSource: downsample/dataset_dir, doc: "The product, SCENE_downsampled."}
  item_href: {type: File, outputSource: stage_out/item_href, doc: "One line with the href of the published STAC item; in `published`, relative to the folder of the outputs."}
  published: {type: "Directory?", outputSource: stage_out/published, doc: "The folder that `to` names, where it is a relative one."}
  downsample_out: {type: File, outputSource: downsample/downsample_out, doc: "One JSON line about the product; its href is relative to the folder of the outputs."}
  output_nb: {type: "File?", outputSource: execute_notebook/output_nb, doc: "The executed notebook, where `notebook` asks for it; after a failure up to the cell that failed."}
  notebook_log: {type: "File?", outputSource: execute_notebook/notebook_log}
  stage_in_log: {type: File, outputSource: stage_in/stage_in_log}
  downsample_log: {type: File, outputSource: downsample/downsample_log}
  stage_out_log: {type: File, outputSource: stage_out/stage_out_log}

hints:
  cwltool:Secrets: {secrets: [aws_credentials]}
