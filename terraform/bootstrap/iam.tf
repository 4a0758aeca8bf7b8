locals {
  capabilities = yamldecode(file("${path.module}/capabilities.yaml"))

  members = { for key, email in module.github_federation.account_emails : "github-${key}" => "serviceAccount:${email}" }

  grants = { for row in local.capabilities : "${row.actor} ${row.role} ${row.resource}" => merge(row, { member = local.members[row.actor] }) }

  grants_on = {
    for kind in ["project", "bucket", "repository"] : kind => { for key, grant in local.grants : key => grant if split(":", grant.resource)[0] == kind }
  }
}

resource "google_project_iam_member" "table" {
  for_each = local.grants_on["project"]

  project = var.project_id
  role    = each.value.role
  member  = each.value.member

  dynamic "condition" {
    for_each = can(each.value.grants_only) ? [each.value.grants_only] : []

    content {
      title       = "grants-only-what-the-stack-grants"
      description = "May change who holds these roles, and no others."
      expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in condition.value : "'${role}'"])}])"
    }
  }
}

resource "google_storage_bucket_iam_member" "table" {
  for_each = local.grants_on["bucket"]

  bucket = { "bucket:state" = google_storage_bucket.state.name }[each.value.resource]
  role   = each.value.role
  member = each.value.member
}

resource "google_artifact_registry_repository_iam_member" "table" {
  for_each = local.grants_on["repository"]

  project    = var.project_id
  location   = module.registry.location
  repository = { "repository:images" = module.registry.repository_id }[each.value.resource]
  role       = each.value.role
  member     = each.value.member
}
