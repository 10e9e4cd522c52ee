process POOLPROOF_AUDIT {
    tag "${meta.id}"
    label 'process_low'

    conda "${moduleDir}/environment.yml"
    // The image of containers/ of this repository; no registry has it yet.
    container "${workflow.containerEngine in ['singularity', 'apptainer']
        ? 'poolproof_0.1.0.sif'
        : 'poolproof:0.1.0'}"

    input:
    tuple val(meta), path(expression), path(samples)
    path network

    output:
    tuple val(meta), path("${prefix}")              , emit: audit
    tuple val(meta), path("${prefix}/verdict.json") , emit: verdict
    tuple val(meta), path("${prefix}/report.html")  , emit: report
    tuple val(meta), path("${prefix}/pairs.parquet"), emit: pairs
    tuple val("${task.process}"), val('poolproof'), eval("poolproof --version | sed 's/.* //'"), emit: versions_poolproof, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args      = task.ext.args ?: ''
    prefix        = task.ext.prefix ?: "${meta.id}"
    def table     = samples ? "--samples ${samples}" : ''
    def edges     = network ? "--network ${network}" : ''
    """
    poolproof audit \\
        ${expression} \\
        ${table} \\
        ${edges} \\
        ${args} \\
        --out ${prefix} \\
        --threads ${task.cpus} \\
        --memory ${task.memory.toMega()}M \\
        --quiet
    """

    stub:
    prefix        = task.ext.prefix ?: "${meta.id}"
    """
    mkdir ${prefix}
    touch ${prefix}/report.html ${prefix}/pairs.parquet
    echo '{"verdict": "inconclusive"}' > ${prefix}/verdict.json
    """
}
