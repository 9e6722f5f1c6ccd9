"""The GraphQL that `pipelines.server` speaks, for Dagster 1.13."""

IDENTITY = """
query {
  instance { runQueuingSupported daemonHealth { daemonStatus(daemonType: "QUEUED_RUN_COORDINATOR") { healthy } } }
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes {
        name
        location { name }
        jobs { name metadataEntries { label ... on TextMetadataEntry { text } } }
        assetNodes { assetKey { path } opVersion }
      }
    }
  }
  workspaceOrError {
    ... on Workspace { locationEntries { locationOrLoadError { __typename ... on PythonError { message } } } }
  }
}
"""

RUNS = """
query ($filter: RunsFilter!) {
  runsOrError(filter: $filter) {
    ... on Runs { results { runId status creationTime tags { key value } assetSelection { path } } }
  }
}
"""

STATUS = "query ($runId: ID!) { runOrError(runId: $runId) { ... on Run { status } } }"

EVENTS = """
query ($runId: ID!, $after: String) {
  logsForRun(runId: $runId, afterCursor: $after) {
    ... on EventConnection {
      cursor
      hasMore
      events {
        __typename
        ... on ExecutionStepSuccessEvent { stepKey }
        ... on ExecutionStepFailureEvent {
          stepKey
          error { message className stack cause { message className stack } }
        }
        ... on AssetCheckEvaluationEvent { evaluation { checkName success severity description assetKey { path } } }
        ... on RunFailureEvent { message }
      }
    }
  }
}
"""

ADD_PARTITION = """
mutation ($repository: RepositorySelector!, $name: String!, $key: String!) {
  addDynamicPartition(repositorySelector: $repository, partitionsDefName: $name, partitionKey: $key) {
    __typename
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""
