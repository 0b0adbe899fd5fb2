cwlVersion: v1.2

$namespaces:
  s: https://schema.org/

s:name: landsat-downsample
s:description: Landsat scenes, smaller and still right
s:softwareVersion: "0.1.0"
s:license: https://spdx.org/licenses/Apache-2.0
s:keywords: [Landsat, Collection 2, downsampling, COG, STAC]

# The OGC Application Package (20-089r1): the platform brings the scene and fetches the result, both as folders with
# a STAC catalogue, so nothing in here stages, reaches the network or needs credentials. The tool is the one of
# downsample.cwl; a test compares them.
$graph:
  - id: landsat-downsample
    class: Workflow
    label: Landsat scenes, smaller and still right
    doc: >-
      Reduces every band of a Landsat scene by what it means, on a coarser grid, from every full-resolution pixel.
      Give exactly one of factor, resolution and size, or a grid with cells of its own.
    inputs:
      source:
        label: The scene
        doc: A folder with a catalog.json that leads to one STAC item, whose files are in that folder.
        type: Directory
      factor:
        label: Pixels per cell
        doc: Pixels per cell along each axis.
        type: float?
      resolution:
        label: Cell size
        doc: Cell size in units of the scene's CRS (metres).
        type: float?
      size:
        label: Cells across and down
        doc: "Cells across and down, W,H; a 0 keeps the aspect: 100,0."
        type: string?
      grid:
        label: Where cells are counted from
        doc: "zone (default): cells on one lattice for all scenes of a CRS; scene (implied by size): from the scene's own corner; or a grid with cells of its own, without factor, resolution and size: modis:500m, latlon:0.05, mgrs:32TQM:300, EPSG:3035@500 (the verb grids lists them)."
        type: string?
      anchor:
        label: Corner of a cell
        doc: "Corner of any cell in units of the CRS, X,Y (default -15,15)."
        type: string?
      bounds:
        label: Area of interest
        doc: "Area of interest in units of the grid's CRS: left,bottom,right,top; widened to whole cells."
        type: string?
      bands:
        label: Bands
        doc: "USGS or common names with commas between them: red,SR_B5,QA_PIXEL; all by default."
        type: string?
      qa:
        label: How bit fields are reduced
        doc: "How bit fields are reduced: conservative (default), majority, mode or nearest."
        type: string?
      mask:
        label: Pixels to leave out
        doc: "Leave out pixels with these flags of the quality band: cloud,shadow,adjacent,snow,water,cirrus."
        type: string?
      min_valid:
        label: Least valid share
        doc: Least share of valid pixels in a cell that holds data, 0 to 1 (default 0).
        type: float?
      method:
        label: Other methods for single bands
        doc: "BAND=METHOD for each band to reduce otherwise: mean, median, min, max, sum, std, rms, count, mode or nearest."
        type: string[]?
      stats:
        label: Statistics
        doc: "Statistics of bands that are averaged, a file each: mean,std,min,max,count (also median, rms, sum)."
        type: string?
      units:
        label: Units
        doc: "What bands that are averaged hold: dn (default), numbers as stored; scaled, reflectance and kelvin as floats."
        type: string?
      index:
        label: Spectral indices
        doc: "Spectral indices, a file each: ndvi,evi,ndwi,nbr, lst (the surface temperature in kelvin) ...; bands none for them alone."
        type: string?
      index_order:
        label: Order of indices
        doc: "mean-of-index (default), each pixel's index and then the mean of them; index-of-means, the index of the bands' means."
        type: string?
      workers:
        label: Cores
        doc: Cores to ask the platform for, each for a thread.
        type: int?
        default: 1
      ram:
        label: Memory
        doc: MiB of memory to ask the platform for.
        type: int?
        default: 1024
    steps:
      downsample:
        label: Make the scene smaller
        doc: Every band by what it means.
        run: "#downsample"
        in:
          source: source
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
        out: [dataset_dir]
      catalogue:
        label: Put the product beside a catalogue
        doc: The platform finds the product through it.
        run: "#catalogue"
        in: {folder: downsample/dataset_dir}
        out: [product]
    outputs:
      product:
        label: The product
        doc: A folder with catalog.json and in a folder of its own the STAC item and files of the product.
        type: Directory
        outputSource: catalogue/product

  - id: downsample
    class: CommandLineTool
    label: Make a scene smaller
    doc: The product appears whole or not at all.
    baseCommand: [landsat-downsample, run]
    # Absolute, since the workers of a cluster have a working folder of their own; the href that is told is not.
    arguments:
      - --to=$(runtime.outdir)
      - --relative-to=$(runtime.outdir)
      - --workers=$(runtime.cores)
      - --memory=$(runtime.ram)
    inputs:
      source:
        label: The scene
        type: Directory
        doc: A staged scene with its catalog.json.
        inputBinding: {position: 1}
      factor:
        label: Pixels per cell
        type: float?
        doc: Pixels per cell along each axis.
        inputBinding: {prefix: --factor}
      resolution:
        label: Cell size
        type: float?
        doc: Cell size in units of the scene's CRS (metres).
        inputBinding: {prefix: --resolution}
      size:
        label: Cells across and down
        type: string?
        doc: "Cells across and down, W,H; a 0 keeps the aspect: 100,0."
        inputBinding: {prefix: --size}
      grid:
        label: Where cells are counted from
        type: string?
        doc: "zone (default): cells on one lattice for all scenes of a CRS; scene (implied by size): from the scene's own corner; or a grid with cells of its own, without factor, resolution and size: modis:500m, latlon:0.05, mgrs:32TQM:300, EPSG:3035@500 (the verb grids lists them)."
        inputBinding: {prefix: --grid}
      anchor:
        label: Corner of a cell
        type: string?
        doc: "Corner of any cell in units of the CRS, X,Y (default -15,15)."
        inputBinding: {prefix: --anchor=, separate: false}
      bounds:
        label: Area of interest
        type: string?
        doc: "Area of interest in units of the grid's CRS: left,bottom,right,top; widened to whole cells."
        inputBinding: {prefix: --bounds=, separate: false}
      bands:
        label: Bands
        type: string?
        doc: "USGS or common names with commas between them: red,SR_B5,QA_PIXEL; all by default."
        inputBinding: {prefix: --bands}
      qa:
        label: How bit fields are reduced
        type: string?
        doc: "How bit fields are reduced: conservative (default), majority, mode or nearest."
        inputBinding: {prefix: --qa}
      mask:
        label: Pixels to leave out
        type: string?
        doc: "Leave out pixels with these flags of the quality band: cloud,shadow,adjacent,snow,water,cirrus."
        inputBinding: {prefix: --mask}
      min_valid:
        label: Least valid share
        type: float?
        doc: Least share of valid pixels in a cell that holds data, 0 to 1 (default 0).
        inputBinding: {prefix: --min-valid}
      method:
        label: Other methods for single bands
        type:
          - "null"
          - {type: array, items: string, inputBinding: {prefix: --method}}
        doc: "BAND=METHOD for each band to reduce otherwise: mean, median, min, max, sum, std, rms, count, mode or nearest."
      stats:
        label: Statistics
        type: string?
        doc: "Statistics of bands that are averaged, a file each: mean,std,min,max,count (also median, rms, sum)."
        inputBinding: {prefix: --stats}
      units:
        label: Units
        type: string?
        doc: "What bands that are averaged hold: dn (default), numbers as stored; scaled, reflectance and kelvin as floats."
        inputBinding: {prefix: --units}
      index:
        label: Spectral indices
        type: string?
        doc: "Spectral indices, a file each: ndvi,evi,ndwi,nbr, lst (the surface temperature in kelvin) ...; bands none for them alone."
        inputBinding: {prefix: --index}
      index_order:
        label: Order of indices
        type: string?
        doc: "mean-of-index (default), each pixel's index and then the mean of them; index-of-means, the index of the bands' means."
        inputBinding: {prefix: --index-order}
      workers:
        label: Cores
        type: int?
        default: 1
        doc: Cores to ask the platform for; as many threads as it gives are used.
      ram:
        label: Memory
        type: int?
        default: 1024
        doc: MiB of memory to ask the platform for; fewer bands at once where they would need more than it gives.
    outputs:
      dataset_dir:
        label: The product
        doc: The product's own folder.
        type: Directory
        outputBinding: {glob: "*_downsampled"}
    successCodes: [0]
    temporaryFailCodes: [75]
    permanentFailCodes: [1, 2, 3]
    requirements:
      NetworkAccess: {networkAccess: false}
      ResourceRequirement: {coresMin: $(inputs.workers), coresMax: $(inputs.workers), ramMin: $(inputs.ram), ramMax: $(inputs.ram)}
    hints:
      DockerRequirement: {dockerPull: ghcr.io/landsat-downsample/landsat-downsample:0.1.0}

  - id: catalogue
    class: CommandLineTool
    label: Put the product beside a catalogue
    doc: Copies the product into the folder of a STAC catalogue, verified.
    baseCommand: [landsat-downsample, stage-out]
    arguments: [--to=product]
    inputs:
      folder:
        label: The product
        doc: The product's own folder.
        type: Directory
        inputBinding: {position: 1}
    outputs:
      product:
        label: The product
        doc: The catalogue, and the product's folder beside it.
        type: Directory
        outputBinding: {glob: product}
    successCodes: [0]
    temporaryFailCodes: [75]
    permanentFailCodes: [1, 2, 3]
    requirements:
      NetworkAccess: {networkAccess: false}
      ResourceRequirement: {coresMin: 1, coresMax: 1, ramMin: 512, ramMax: 1024}
      InitialWorkDirRequirement:
        listing:
          # A product's folder and its item have one name, so that this needs to know nothing else.
          - entryname: product/catalog.json
            entry: |
              {
                "type": "Catalog",
                "stac_version": "1.1.0",
                "id": "$(inputs.folder.basename)",
                "description": "A Landsat scene on a coarser grid.",
                "links": [
                  {"rel": "root", "href": "./catalog.json", "type": "application/json"},
                  {
                    "rel": "item",
                    "href": "./$(inputs.folder.basename)/$(inputs.folder.basename).stac.json",
                    "type": "application/geo+json"
                  }
                ]
              }
    hints:
      DockerRequirement: {dockerPull: ghcr.io/landsat-downsample/landsat-downsample:0.1.0}
