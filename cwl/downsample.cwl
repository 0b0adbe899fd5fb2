cwlVersion: v1.2
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

stdout: downsample.out.jsonl
stderr: downsample.log.txt

successCodes: [0]
temporaryFailCodes: [75]
permanentFailCodes: [1, 2, 3]

requirements:
  NetworkAccess: {networkAccess: $(inputs.network_access)}
  ResourceRequirement: {coresMin: $(inputs.workers), coresMax: $(inputs.workers), ramMin: $(inputs.ram), ramMax: $(inputs.ram)}

hints:
  DockerRequirement: {dockerPull: ghcr.io/landsat-downsample/landsat-downsample:0.1.0}
