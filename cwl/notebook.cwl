cwlVersion: v1.2
class: CommandLineTool
label: Make a scene smaller by a notebook
doc: >-
  Executes the notebook downsample_landsat on a scene, and gives it back as it was executed: pictures, numbers, or the
  cell that failed. It holds no secrets, signatures or folders of the machine. The product is that of downsample.cwl.
  The image has papermill besides (REQUIREMENTS=requirements-notebook.txt).

baseCommand: [landsat-downsample, notebook]
arguments: [--to=., --output=output_nb.ipynb, --workers=$(runtime.cores)]

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
    doc: Cores to ask the runner for; as many threads as it gives are used.
  ram:
    type: int?
    default: 1024
    doc: MiB of memory to ask the runner for.
  timeout:
    type: float?
    doc: Seconds after which the step gives up, as a temporary failure.
    inputBinding: {prefix: --timeout}

outputs:
  # Not files and folders that must be there: runners collect what a failed step left, and the notebook is needed most then.
  output_nb: {type: "File?", doc: "The executed notebook; after a failure up to the cell that failed.", outputBinding: {glob: output_nb.ipynb}}
  dataset_dir:
    type: Directory?
    doc: The product, SCENE_downsampled.
    outputBinding: {glob: "*_downsampled"}
  notebook_log: {type: stderr, doc: "On failure one line: which cell failed, and why."}

stdout: notebook.out.txt
stderr: notebook.log.txt

successCodes: [0]
temporaryFailCodes: [75]
permanentFailCodes: [1, 2, 3]

requirements:
  NetworkAccess: {networkAccess: false}
  ResourceRequirement: {coresMin: $(inputs.workers), coresMax: $(inputs.workers), ramMin: $(inputs.ram), ramMax: $(inputs.ram)}

hints:
  DockerRequirement: {dockerPull: ghcr.io/landsat-downsample/landsat-downsample:0.1.0-notebook}
