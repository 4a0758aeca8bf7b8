locals {
  capabilities = yamldecode(file("${path.module}/capabilities.yaml"))

  account_emails = merge(local.caller_emails, { for name, email in local.service_accounts : name => email if email != null }, {
    image-migrate = module.image_migrate.service_account_email
  })

  members = merge(
    { for name, email in local.account_emails : name => "serviceAccount:${email}" },
    # Created by terraform/bootstrap, which runs first.
    { for name in ["github-apply", "github-deploy"] : name => "serviceAccount:${name}@${var.project_id}.iam.gserviceaccount.com" },
    {
      pubsub-agent  = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
      storage-agent = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
      # Google's group that writes access logs.
      access-log-writer = "group:cloud-storage-analytics@google.com"
    },
  )

  # Keys contain the actor's name, not its address, so that all keys are known before anything exists.
  grants = {
    for row in local.capabilities : "${row.actor} ${row.role} ${row.resource}" => merge(row, { member = local.members[row.actor] })
    if try(local.asked_for[row.when], true) && length(setintersection(local.absent_services, [row.actor, try(split(":", row.resource)[1], "")])) == 0
  }

  grants_on = {
    for kind in ["project", "bucket", "topic", "subscription", "secret", "account", "service", "job"] : kind => {
      for key, grant in local.grants : key => merge(grant, { name = try(split(":", grant.resource)[1], "") }) if split(":", grant.resource)[0] == kind
    }
  }

  # One grant for each bucket of a row. Only `import_sources` stands for several, which belong to somebody else.
  bucket_grants = merge([
    for key, grant in local.grants_on["bucket"] : {
      for bucket in grant.name == "import_sources" ? var.storage.import_buckets : tolist([""]) :
      bucket == "" ? key : "${key}/${bucket}" => merge(grant, { bucket = bucket })
    }
  ]...)

  database_condition = "resource.type == 'sqladmin.googleapis.com/Instance' && resource.name == 'projects/${var.project_id}/instances/${module.database.instance_name}'"
}

resource "google_project_iam_member" "table" {
  for_each = local.grants_on["project"]

  project = var.project_id
  role    = each.value.role
  member  = each.value.member

  condition {
    title       = "one-instance"
    description = "Only the instance of this system."
    expression  = { "instance:database" = local.database_condition }[each.value.on]
  }
}

resource "google_storage_bucket_iam_member" "table" {
  for_each = local.bucket_grants

  bucket = each.value.bucket != "" ? each.value.bucket : (
    each.value.name == "models" ? local.model_bucket : module.storage.bucket_names[each.value.name]
  )
  role   = each.value.role
  member = each.value.member
}

resource "google_pubsub_topic_iam_member" "table" {
  for_each = local.grants_on["topic"]

  project = var.project_id
  topic   = module.events.topic_names[each.value.name]
  role    = each.value.role
  member  = each.value.member
}

resource "google_pubsub_subscription_iam_member" "table" {
  for_each = local.grants_on["subscription"]

  project      = var.project_id
  subscription = module.events.subscription_names[each.value.name]
  role         = each.value.role
  member       = each.value.member
}

resource "google_secret_manager_secret_iam_member" "table" {
  for_each = local.grants_on["secret"]

  project   = var.project_id
  secret_id = module.secrets.secret_names[each.value.name]
  role      = each.value.role
  member    = each.value.member
}

resource "google_service_account_iam_member" "table" {
  for_each = local.grants_on["account"]

  service_account_id = "projects/${var.project_id}/serviceAccounts/${local.account_emails[each.value.name]}"
  role               = each.value.role
  member             = each.value.member
}

resource "google_cloud_run_v2_service_iam_member" "table" {
  for_each = local.grants_on["service"]

  project  = var.project_id
  location = var.region
  name     = local.services[each.value.name].name
  role     = each.value.role
  member   = each.value.member
}

resource "google_cloud_run_v2_job_iam_member" "table" {
  for_each = local.grants_on["job"]

  project  = var.project_id
  location = var.region
  name     = { image-migrate = module.image_migrate.name }[each.value.name]
  role     = each.value.role
  member   = each.value.member
}
